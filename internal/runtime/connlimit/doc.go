// Package connlimit holds the connections of a process to its budget of file descriptors.
//
// A process that accepts connections until the system refuses another descriptor cannot open the files of its own store. So the limit
// of open files is divided at start: a reserve stays with store, spill, database and log, and connections get the rest. A connection is
// unauthenticated until a call with good credentials has succeeded on it. Unauthenticated connections have a limit of their own, in
// all and per remote address. At a limit the unauthenticated connection that has been idle longest is closed, so a new caller is
// always served. Authenticated connections are never closed for another. An owner has a limit too: its connections beyond the
// limit work, but keep the rank of unauthenticated ones.
//
// The package knows no credentials and no protocol. Edges call [Touch] when a request begins and [Authenticated] when its
// credentials were good; both cost a lookup in the context and an atomic load once a connection is authenticated.
//
// Concurrency: everything may be called from any goroutine. A lock is taken when a connection begins, is authenticated or ends, never
// per call.
package connlimit
