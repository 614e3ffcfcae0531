// Package admission decides how many calls a node works on at once, and which of the waiting calls is next. It is a pure state machine:
// it starts no goroutine, reads no clock, sets no timer and knows no store. Package ingest drives it and acts on its decisions.
//
// Concurrency: a Controller is not safe for concurrent use. The intake's lock guards it.
//
// # What must hold
//
// In an overload the higher levels are served as if there were no overload, the number of messages stored per second does not fall,
// every wait is bounded, and an admitted call is never dropped.
//
// The naive way is one first-in-first-out queue in front of the store. Under a lasting overload that queue is always full, so every
// call is answered as late as its caller tolerates, whatever its level. A fixed limit on concurrent calls is right for one store on one
// machine only. So the controller keeps the excess in a queue ordered by level, and adapts the limit to the measured latency.
//
// # States of a call
//
//	          Admit             Next
//	new ──┬────────► waiting ─────────► admitted ─────► released
//	      │             │                  ▲    Release
//	      ├─────────────┼──────────────────┘
//	      │    Admit    │ evicted by Admit, Release (timeout, caller gone), RemoveAll
//	      ▼             ▼
//	    shed         released
//
// A call is in flight while it is admitted: from its admission until Release, which the intake calls when the caller's goroutine runs
// again. The time between the commit and that moment counts, because under CPU pressure most of the latency is there.
//
// # Rules, in the order in which they are applied
//
//  1. Order. A call that arrives while others wait joins the queue, so it cannot overtake them.
//  2. Limit. At most Limit messages are in flight (limiter.go). The last admitted call may exceed the limit, or a large call could never
//     be admitted.
//  3. CPU pressure. While levels compete and too many goroutines wait for a processor, the limit is half of MinInFlight (cpu.go).
//  4. Reservation. A level leaves half of the limit to higher levels that were seen within the last second (reservation.go).
//  5. Rate. The declared capacity in messages per second is not exceeded (rate.go).
//  6. Queue order. The highest level is next, then the highest priority. Within these the oldest call is next while waits are short, else
//     the newest (queue.go).
//  7. Full queue. A call evicts calls of lower level or priority, oldest first, until it fits. If none is left to evict, it is shed.
package admission
