// Package spill is a queue of accepted calls on the node's own disk. It is used while the shared store cannot take them. A call is
// durable when Append returns. Later the drain appends it to the store, in the order of acceptance and with the ids that its caller was
// given. Package ingest decides when a call is spilled. A call in the spill is not pushed, acknowledged or canceled; its sequence numbers,
// inbox entries and events come with the drain.
//
// Concurrency: a Spill may be used from any goroutine. It must have at most one running Drainer.
//
// # Drain
//
// What must hold: an accepted call reaches the store exactly once or stays on this disk; the messages of one recipient reach the store in
// the order of their acceptance; a message that the store never takes holds up no other message.
//
// The naive way, deleting an entry when its Append has been sent, loses the call if the outcome is unknown. Sending it again under new
// ids stores it twice. So an entry is deleted only after the commit that holds it. Until then it is sent again with the same ids, even
// after a crash: the store knows these ids and answers Replayed.
//
// Calls are ordered by position. One writer assigns the positions, and one drain sends the calls, one Append after the other. The drain
// works in passes over the queue:
//
//   - A batch that the store refuses for its data is halved, the earlier half first, until the refused call is alone. That call moves to
//     the quarantine, which is listed, counted and left for an operator.
//   - An error that says that the store is away ends the pass. The drain tries again after a pause.
//   - An unclassified error can be either. It counts against the call only if the store takes another call in the same pass.
//
// An entry is deleted after its messages were published, and Backlog counts it until then. So a caller for whom Backlog is zero may
// commit and publish newer messages of the recipient.
package spill
