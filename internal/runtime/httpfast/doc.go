// Package httpfast serves simple HTTP/1.1 requests on a fast path and leaves the rest to net/http.
//
// net/http was more than half of a node's cost for a durable call: a new header map and request, a goroutine that watches
// for a disconnect, deadlines set five times. A client that sends small requests one after the other on a keep-alive
// connection needs none of it.
//
// A request takes the fast path if its head has the most common form: a request line that the server accepts, HTTP/1.1, one
// Host, one Content-Length in digits if there is a body, no repeated field, no field about the connection or the coding of
// the body, and only unproblematic octets. This grammar is a strict subset of net/http's: net/http accepts every head that
// it accepts and gives it the same meaning. A fuzz test compares the two. With the first head outside the grammar, the
// connection goes to net/http together with the bytes read so far, and stays there. So net/http answers errors, streams,
// upgrades, chunked bodies and everything else.
//
// Concurrency: an idle connection is only its conn struct: no goroutine, no buffer. While there is something to read, it
// belongs to a worker: a goroutine with a buffer, a request and a response, which also runs the handler and then takes the
// next connection. The most recently parked worker is used first. The memory of a request is reused for the next request of
// any connection, so a handler must keep no reference to the request or the response. The request's context ends with the
// connection and not with the request: a handler must end what it starts with it.
package httpfast
