// Package httpfast answers plain calls itself, and leaves all else to net/http.
//
// Of what a node does for a durable call, net/http was more than half: a map and a request made anew, a goroutine that listens
// whether the caller has gone, deadlines set five times. A caller who sends one small call after the other on a connection that
// is kept needs none of it.
//
// A call is plain if its head is written in the one way in which nearly all are: one line that the node has said it takes, HTTP/1.1,
// one Host, one Content-Length in digits where there is a body, no field twice, no field that says something about the connection or
// the coding of the body, every octet one that needs no thought. The grammar is so narrow that whatever it takes, net/http takes and
// understands alike; a fuzz test holds one against the other. With the first head that is not plain the connection goes to net/http,
// with all that was read, and stays there: errors, streams, upgrades, chunked bodies, pipelines of anything are answered by it.
//
// Concurrency: a connection that waits is what is known of it and no more. While it has something to read, a worker has it: a goroutine
// with a buffer, a request and an answer, which also runs the handler and then takes the next connection, the last one to rest first.
// The memory of the request is used again for the next call, of whatever connection: a handler must keep nothing of it nor of the
// answer. Its context ends with the connection, not with the call: what a handler begins with it, the handler ends.
package httpfast
