// Package eventfeed reads the event log for those who want to see status changes as they happen. It knows nothing of how
// they are sent on: each edge has a Stream and takes from it.
//
// # One reader and many
//
// What must hold: a stream gives the events of its business in the order of the log, each once, from the position it
// began at, and misses none, whatever its pace.
//
// The naive way is that each stream reads the log for itself whenever something was committed. A hundred streams then
// read every row a hundred times. The other naive way is one reader that hands out what it reads; then a slow taker loses
// events, or holds up all others, and between a stream's own reading of the past and its entry into the list of takers
// something is missed or comes twice.
//
// So a stream has two modes, like a session of package delivery. Behind, it reads the log for itself, on its taker's
// goroutine, from its position. At the end of the log it enters the list and is live: then the feed, the one reader, puts
// events into its queue. The queue is bounded; when it is full the stream is behind again and its queue is thrown away:
// everything in it lies after its position.
//
// The hand-over is exact because every position counts. A stream becomes live only if it stands at or behind the feed's
// own position, in the same critical section in which the feed hands out; what it is handed up to its own position it
// skips. One case is left: the feed asks the log only for the businesses that had live streams when its round began, so a
// stream that became live during a round may be missing in it. Such a stream is made behind again when the round ends.
//
// Concurrency: Feed's methods may be called from any goroutine; Run owns the reader. A Stream is one taker's.
package eventfeed
