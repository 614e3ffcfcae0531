package httpfast

import (
	"errors"
	"io"
	"net/http"
	"runtime/debug"
)

// bufferSize bounds a head on the fast path, in bytes. It must not exceed the buffer of net/http, so that net/http reads all
// of it at once when a connection is handed over. The hubs rely on this when they take over the descriptor.
const bufferSize = 4 << 10

// worker is a goroutine with the memory that a request needs while it is served. It serves one connection after the other,
// each for as long as there is something to read.
type worker struct {
	conn     *conn
	request  http.Request
	head     head
	body     body
	answer   response
	buffer   [bufferSize]byte
	from, to int        // range of buffer that was read and not consumed
	next     chan *conn // next connection; capacity 1
}

func newWorker() *worker {
	w := &worker{next: make(chan *conn, 1)}
	w.head.request = &w.request
	w.body.worker = w
	w.answer.worker = w
	w.head.header, w.answer.header = http.Header{}, http.Header{}
	return w
}

// run serves c and then the connections of w.next.
func (w *worker) run(c *conn) {
	for ok := true; ok; c, ok = <-w.next {
		others := &c.server.workers
		if !w.serveRecovering(c) || !others.park(w) {
			return
		}
	}
}

// serveRecovering serves a connection and reports whether the worker can be used again. After a panic outside handlers it
// cannot, because its state is unknown; the connection is closed.
func (w *worker) serveRecovering(c *conn) (sound bool) {
	if c.server.OnPanic != nil {
		defer func() {
			if cause := recover(); cause != nil {
				c.server.OnPanic(cause)
				c.finish(incomplete, nil)
			}
		}()
	}
	w.serve(c)
	return true
}

// serve serves the requests of a connection until nothing is left to read, or the connection ends or goes to net/http.
func (w *worker) serve(c *conn) {
	for {
		n, err := c.net.ReadOrNotify(w.buffer[:], &c.resume)
		if n == 0 && err == nil {
			return // another worker may serve the connection already
		}
		c.requestArrived()
		v := incomplete
		if n > 0 {
			w.from, w.to = 0, n
			w.conn = c
			v = w.serveBuffered()
			w.conn, w.request = nil, http.Request{} // an idle worker holds no reference to a connection
		}
		if v != fast {
			c.finish(v, w.buffer[w.from:w.to])
			return
		}
		c.waitForRequest()
	}
}

// resetRequest prepares the request for the next head. It removes everything that a handler may have set.
func (w *worker) resetRequest() {
	w.request = w.conn.request
	w.request.URL = &w.head.url
	w.request.Header = w.head.header
	w.request.Body = &w.body
}

// serveBuffered serves the requests that start in the buffer. It returns fast if the connection is idle then.
func (w *worker) serveBuffered() outcome {
	for w.skipTrailingLines(); w.from < w.to; w.skipTrailingLines() {
		w.resetRequest()
		if v := w.readHead(); v != fast {
			return v
		}
		if !w.serveRequest() {
			return incomplete
		}
	}
	return fast
}

// maxTrailingLines is the number of CR and LF octets that net/http ignores after the body of a POST.
const maxTrailingLines = len("\r\n\r\n")

// skipTrailingLines skips line breaks after the body of a POST: old clients send one that Content-Length does not count
// (RFC 9112, section 2.2).
func (w *worker) skipTrailingLines() {
	for w.conn.trailingLines > 0 && w.from < w.to && (w.buffer[w.from] == '\r' || w.buffer[w.from] == '\n') {
		w.conn.trailingLines--
		w.from++
	}
}

// readHead reads until the buffer holds a head of the fast path, or cannot become one. It returns incomplete if the
// connection ends before.
func (w *worker) readHead() outcome {
	for late := false; ; late = true {
		size, v := w.head.parse(w.buffer[w.from:w.to], w.conn.server.accepts)
		switch {
		case v == fast:
			w.from += size
			return fast
		case v == fallback || w.to-w.from == bufferSize:
			return fallback
		case !late:
			w.to = copy(w.buffer[:], w.buffer[w.from:w.to])
			w.from = 0
			w.conn.setReadTimeout(w.conn.server.http.ReadHeaderTimeout)
		}
		n, err := w.conn.net.Read(w.buffer[w.to:])
		w.to += n
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			return fallback // net/http answers what is wrong with a partial head
		default:
			return incomplete
		}
	}
}

// read reads from the buffer first, then from the connection.
func (w *worker) read(p []byte) (int, error) {
	if w.from == w.to {
		return w.conn.net.Read(p)
	}
	n := copy(p, w.buffer[w.from:w.to])
	w.from += n
	return n, nil
}

// serveRequest runs the handler, sends the response, and reports whether another request can follow.
func (w *worker) serveRequest() bool {
	w.conn.served = true
	w.conn.trailingLines = 0
	if w.request.Method == http.MethodPost {
		w.conn.trailingLines = maxTrailingLines
	}
	w.body.remaining = w.request.ContentLength
	if w.body.remaining > int64(w.to-w.from) {
		w.conn.setReadTimeout(w.conn.server.http.ReadTimeout)
	}
	if !w.runHandler() {
		w.answer.clear()
		return false
	}
	again := w.answer.finish()
	return w.body.skip() == nil && again // skip even before a close: closing with unread input would reset the connection
}

// runHandler runs the handler. It returns false if the handler panicked.
func (w *worker) runHandler() (ok bool) {
	server := w.conn.server
	defer func() {
		cause := recover()
		switch {
		case cause == nil, cause == http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
		case server.OnPanic != nil:
			server.OnPanic(cause)
		default:
			server.logf("http: panic serving %v: %v\n%s", w.conn.net.RemoteAddr(), cause, debug.Stack())
		}
	}()
	server.handler.ServeHTTP(&w.answer, &w.request)
	return true
}
