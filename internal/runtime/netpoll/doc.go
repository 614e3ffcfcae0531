// Package netpoll accepts TCP connections that are read in time also where every processor is busy.
//
// Go's runtime looks for sockets that are ready when a processor has nothing else to do, and else every ten milliseconds, for at
// most 128 of them (runtime/proc.go: findRunnable, sysmon; netpoll_epoll.go). A node under load therefore works on what it has
// and hears nobody: calls wait in the kernel, first come, first served, where no level and no priority counts. The Poller here
// looks once whenever the goroutines that were runnable before it have had their turn.
//
// It does not parse, buffer or write ahead: a Conn is a net.Conn like any other, with deadlines that are kept to the second where
// they are further away than that.
//
// Who does not want to keep a goroutine for each connection that may say something one day reads with ReadOr, and is called.
//
// Concurrency: a Poller's Run has one goroutine; a Conn may be used by many, and its reads take turns, as its writes do.
package netpoll
