// Package netpoll provides TCP listeners and connections with an epoll poller of its own, so that sockets are read in time
// even if every processor is busy.
//
// Go's runtime polls for ready sockets when a processor is idle, and otherwise every ten milliseconds, for at most 128 of
// them (runtime/proc.go: findRunnable, sysmon; netpoll_epoll.go). A node under load therefore works on the requests that it
// has read, while others queue in the kernel in order of arrival, without regard to level and priority. The Poller of this
// package polls each time the goroutines that were runnable before it have had a turn.
//
// The package does not parse, buffer or write ahead. A Conn is an ordinary net.Conn, except that a deadline more than two
// seconds away may fire up to a second late.
//
// ReadOrNotify reads without a goroutine that blocks: if nothing is available, it registers a callback.
//
// Concurrency: Run runs in one goroutine. A Conn is safe for concurrent use; its reads are serialized, and so are its writes.
package netpoll
