// Package ingest brings accepted calls to the store. It limits how many are worked on at once (package admission), queues them in bounded
// lanes by priority, commits them in batches, and answers each caller when the commit is durable. While the store is away it writes
// calls to this node's disk instead (package spill). It does not validate calls and it does not deliver messages.
//
// Concurrency: Submit may be called from any goroutine. Run owns the goroutine that commits to the store and, if there is a spill, the
// one that commits to the spill. One mutex guards the queues and the admission controller; no I/O happens under it.
//
// docs/queues.md draws all queues of a call, with their bounds.
//
// # Group commit
//
// What must hold: no call is answered before its fsync has returned; a call that was answered with an error is not in the store, unless
// the error says that the outcome is unknown; a full lane refuses calls at once or after a bounded wait and never drops a queued one; one
// business cannot fill a lane.
//
// The naive way, one commit per call, costs an fsync per message and wakes the disk thousands of times a second. A timer that flushes
// every few milliseconds makes an idle system slow and a busy one no faster.
//
// So the batcher commits whatever has arrived while the previous commit ran: the batch is as large as the load makes it. At low load,
// where a batch would be a single call, the batcher lingers for Options.Linger, which trades a little latency for far fewer commits. A
// batch of lingerBatch messages is committed at once.
//
// # States of a pending call
//
//	waiting ──► taken      by the batcher: the caller waits for the outcome, however long the commit runs
//	   │
//	   └──────► abandoned  by its caller, after a timeout or a closed connection: never committed
//
// Both steps are one compare-and-swap from waiting, so exactly one of them happens. A refused call is taken too: by the code that
// refuses it.
//
// # Full lanes
//
// A call that finds its lane full, or its business's quarter of the lane used up, waits in the overflow queue of the lane, which has the
// same bounds. The batcher moves calls from there into the lane after it has taken a batch. The naive way, waking all waiting callers so
// that each can try again, costs one wake-up per caller and batch when there is least time for it, and lets newcomers overtake. If the
// overflow queue is full too, the call is refused with Overloaded at once.
//
// # The spill
//
// What must hold: while a recipient has a call in the spill, its newer calls do not overtake it; a call with an idempotency key is
// spilled only while the store does not answer, because only the store knows the keys of the other nodes.
//
// routeToSpill decides for each call of a batch: to the store, to the spill, or back to its caller's goroutine, which waits until the
// spill holds nothing of its recipients. Calls without a key that find every queue full go to the spill directly, through the spill
// queue.
package ingest
