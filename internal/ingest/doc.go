// Package ingest takes accepted calls to the store: it admits as many at once as the store takes in time, by SLA level and
// priority, queues them in bounded lanes by priority, commits them in batches, and answers each caller when its commit is
// durable. It does not validate, and it does not deliver.
//
// Concurrency: Submit may be called from any goroutine; Run owns the one goroutine that commits.
//
// # Group commit
//
// What must hold: nobody is answered before the fsync of his call; a caller who was told "no" has nothing in the store;
// a full lane says so at once or after a bounded wait, and never drops what it holds; one business cannot fill a lane.
//
// The naive way, a commit per call, pays an fsync per message and wakes the disk thousands of times a second. A timer
// that flushes every few milliseconds makes an idle system slow and a busy one no faster.
//
// So the batcher commits whatever has gathered while the previous commit ran: the batch is as large as the load makes
// it. At low load, where a batch would be one call, it waits up to Options.Gather for company, which trades a little
// latency for far fewer commits; a batch that is large enough goes at once.
//
// A waiting call is in one of three states, and one compare-and-swap decides each step: waiting, then taken by the
// batcher or abandoned by its caller (who was tired of waiting, or has hung up). What is abandoned is never committed,
// what is taken waits for its outcome however long that takes: so "no" always means no.
//
// # The door
//
// What must hold: in an overload the higher levels are served as if there were none; what is stored per second does not fall; a
// wait is bounded; who was admitted is not dropped.
//
// Before the lanes stands the door. The intake works on as many messages at once as the store takes in time, a limit that
// pace.go keeps finding; beyond it calls wait at the door by level, priority and age, at most Options.DoorWait. A message is
// in flight until its caller runs again, not only until its commit: where CPU is short, that is where the time goes.
//
// # Full lanes
//
// A caller who finds his lane full, or his business's quarter of it, is parked: his call waits in a second queue with the
// same bounds, and the batcher itself moves it into the lane when a batch has left. The naive way, waking all who wait so
// that each may try, costs a wake-up for every one of them with every batch, just when there is the least time for it, and
// lets newcomers in first. When that queue is full too the answer is Overloaded at once.
package ingest
