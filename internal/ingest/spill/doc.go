// Package spill is a queue of accepted calls on the node's own disk, for the time in which the shared store cannot take
// them. A call is durable here when Append returns; later the drain appends it to the store, in the order of acceptance,
// with the ids it was answered with. It does not decide when to spill: package ingest does. Nothing is pushed,
// acknowledged or canceled from here; seq, inbox and events come with the drain.
//
// Concurrency: a Spill may be used from any goroutine, and has one Drainer at a time.
//
// # Drain
//
// What must hold: what was answered reaches the store once, or stays on this disk; the messages of one recipient reach it
// in the order of their acceptance; a message that the store will never take holds up nobody.
//
// The naive way, to delete an entry when its Append was sent, loses it when the outcome is unknown; to send it again under
// new ids doubles it. So an entry goes only after the commit that holds it, and whatever happens before, a crash too, the
// same ids are sent again: the store knows them, and answers Replayed.
//
// The order is that of positions: one writer numbers the calls, one drain sends them, one Append after the other. A batch
// that is refused for its data is halved, the earlier half first, until the refused call stands alone; it moves to the
// quarantine, where it is listed and counted and waits for an operator. Whatever else goes wrong ends the round: the store
// is asked again later. An error that nobody classified can be either; it counts against the call only if the store takes
// another one in the same round.
//
// Entries go after their messages were published, and Ahead turns zero only then: so whoever sees that a recipient has
// nothing here may publish, and commit, what is newer.
package spill
