// Package connlimit limits the connections of a process to its budget of file descriptors.
//
// A process that accepts connections until the system refuses another descriptor cannot open the files of its own store. So
// the limit of open files is divided at start: a reserve for store, spill, database and log, and the rest for connections. A
// connection is unauthenticated until a request with valid credentials has succeeded on it. Unauthenticated connections have
// limits of their own, in total and per remote address. At a limit, the unauthenticated connection that has been idle longest
// is closed, so that a new client is always served. Authenticated connections are never closed to make room. Each owner has a
// limit, too: its connections beyond the limit work, but still count as unauthenticated.
//
// The package knows neither credentials nor protocols. Servers call [Touch] when a request starts and [Authenticated] when its
// credentials are valid. Once a connection is authenticated, both cost a context lookup and an atomic load.
//
// Concurrency: everything is safe for concurrent use. The lock is taken when a connection starts, is authenticated or ends,
// never per request.
package connlimit
