// Package eventfeed reads the event log for clients that want to see status changes as they happen. It does not know how events are sent to
// clients: each edge opens a Stream and reads from it.
//
// # One reader, many streams
//
// Invariant: a stream returns the events of its business in the order of the log, each exactly once, from the position where it was opened,
// whatever the speed of its client.
//
// The naive way is that each stream reads the log itself after every commit. A hundred streams then read every row a hundred times. The
// other naive way is one reader that pushes what it reads to all streams. A slow client then loses events or delays the other streams, and an event
// may be lost or duplicated between a stream's own reading of the past and its registration with the reader.
//
// So a stream has two modes, like a session of package delivery. While it is behind, it reads the log itself, from its own position and on
// its client's goroutine. At the end of the log it becomes live: the feed, the single reader, puts events into its queue. The queue is
// bounded. When it is full, the stream falls behind again and the queue is discarded, since all of it lies after the stream's position.
//
// The hand-over is exact because it compares positions. A stream becomes live only if its position is not before the feed's, checked in the
// same critical section in which the feed distributes events; the stream skips events up to its own position. One case is left: the feed
// queries only the businesses that had live streams when its round began, so the round may lack the events of a stream that became live
// during it. At the end of the round such a stream falls back to catch-up mode.
//
// Concurrency: Feed's methods may be called from any goroutine; Run owns the reader. A Stream is used by one goroutine, except Close.
package eventfeed
