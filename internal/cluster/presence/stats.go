package presence

// Stats holds the counters of a Router since it started. Waiting is the current length of its outbox.
type Stats struct {
	Waiting int

	Enqueued     uint64 // hints that the node's engine enqueued
	Dropped      uint64 // hints that did not fit into the outbox
	LookupFailed uint64 // hints lost because the presence lookup failed
	Offline      uint64 // messages whose recipients had no connection on any node
	Sent         uint64 // hints sent, counted once per target node
	SendFailed   uint64 // hints that the transport refused

	Received         uint64 // hints received from other nodes
	Misrouted        uint64 // received hints whose recipient had no session here
	HopLimitExceeded uint64 // misrouted hints that were dropped at the hop limit

	Asserted      uint64 // recipients asserted, renewals included
	Retracted     uint64 // recipients retracted
	PublishFailed uint64 // recipients whose assertion or retraction failed; the next renewal or the TTL corrects their entries
	DirtyDropped  uint64 // changes that did not fit into the dirty set; the next renewal or the TTL corrects their entries
}
