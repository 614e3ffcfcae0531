// Package upstream speaks HTTP/1.1 to one node over connections that are kept. It writes what it is given and reads the
// answer in pieces; what a failure means for the call is for the caller to say, and so this package says exactly how far it
// came: whether a byte of the request had left.
//
// net/http's client serves each connection with two goroutines and hands every call to them and back. That costs a proxy
// more than the rest of its work, and hides whether anything was sent. Here the goroutine of the call writes and reads by
// itself.
//
// Concurrency: a Pool is for all goroutines, a Conn for one at a time, but for Abort.
package upstream
