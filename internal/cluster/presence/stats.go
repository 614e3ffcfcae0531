package presence

// Stats count what a Router did since it started; Waiting is what is in its outbox.
type Stats struct {
	Waiting int

	Enqueued     uint64 // hints that the node's engine had for others
	Dropped      uint64 // hints that found no room in the outbox
	LookupFailed uint64 // hints whose recipients presence could not look up
	Offline      uint64 // messages whose recipients were connected nowhere
	Sent         uint64 // hints that left, once for each node
	SendFailed   uint64 // hints that the transport refused

	Received         uint64 // hints from other nodes
	Misrouted        uint64 // of those: the recipient was not here
	HopLimitExceeded uint64 // of those: not sent on, because they had been too often

	Asserted      uint64 // recipients that were said to be here, and how often
	Retracted     uint64 // recipients that were said not to be here any more
	PublishFailed uint64 // recipients of whom neither could be said; the next round does it
	DirtyDropped  uint64 // changes of presence that found no room; the next round, or the end of an entry's time, does it
}
