// Package upstream is an HTTP/1.1 client for one node with keep-alive connections. It sends a request as given and reads the
// response in parts. It does not decide what a failure means for the call; for that, it reports whether any byte of the request
// was sent.
//
// net/http's client uses two goroutines per connection and passes each call to them and back. That costs a proxy more than the
// rest of its work, and hides whether anything was sent. Here the goroutine of the call writes and reads directly.
//
// Concurrency: a Pool is safe for concurrent use. A Conn is not, except for Abort.
package upstream
