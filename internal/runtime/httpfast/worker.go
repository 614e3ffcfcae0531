package httpfast

import (
	"errors"
	"io"
	"net/http"
	"runtime/debug"
)

// bufferSize bounds a plain head, in bytes. It is not more than the buffer of net/http, which takes all of it at once where a
// connection is handed over; the hubs, which take the descriptor, rely on it.
const bufferSize = 4 << 10

// worker is a goroutine, and the memory that calls need while they are answered. It has one connection after the other, each for as
// long as there is something to read.
type worker struct {
	conn     *conn
	request  http.Request
	head     head
	body     body
	answer   response
	buffer   [bufferSize]byte
	from, to int        // what of it was read and not taken
	next     chan *conn // capacity 1
}

func newWorker() *worker {
	w := &worker{next: make(chan *conn, 1)}
	w.head.request, w.body.worker, w.answer.worker = &w.request, w, w
	w.head.header, w.answer.header = http.Header{}, http.Header{}
	return w
}

// run answers the calls of one connection after the other.
func (w *worker) run(c *conn) {
	for ok := true; ok; c, ok = <-w.next {
		others := &c.server.workers
		if !w.guard(c) || !others.rest(w) {
			return
		}
	}
}

// guard serves a connection and reports whether the worker can go on. A panic outside handlers ends the connection; what the worker
// holds is in an unknown state then.
func (w *worker) guard(c *conn) (sound bool) {
	if c.server.Panics != nil {
		defer func() {
			if cause := recover(); cause != nil {
				c.server.Panics(cause)
				c.end(partial, nil)
			}
		}()
	}
	w.serve(c)
	return true
}

// serve answers the calls of a connection until nothing is there, or it is at its end.
func (w *worker) serve(c *conn) {
	for {
		n, err := c.net.ReadOr(w.buffer[:], &c.resume)
		if n == 0 && err == nil {
			return // it is another worker's, perhaps already
		}
		c.came()
		v := partial
		if n > 0 {
			w.from, w.to = 0, n
			w.conn = c
			v = w.answerAll()
			w.conn, w.request = nil, http.Request{} // a worker that rests keeps nothing of it
		}
		if v != plain {
			c.end(v, w.buffer[w.from:w.to])
			return
		}
		c.await()
	}
}

// renew makes a request for the next head, anew: whatever a handler may have put into it was of another call.
func (w *worker) renew() {
	w.request = w.conn.request
	w.request.URL, w.request.Header, w.request.Body = &w.head.url, w.head.header, &w.body
}

// answerAll answers the calls that the buffer begins; plain: the connection waits for the next.
func (w *worker) answerAll() verdict {
	for w.skipLines(); w.from < w.to; w.skipLines() {
		w.renew()
		if v := w.complete(); v != plain {
			return v
		}
		if !w.call() {
			return partial
		}
	}
	return plain
}

// maxLines is how many octets of ends of lines net/http forgives behind the body of a POST.
const maxLines = len("\r\n\r\n")

// skipLines skips ends of lines behind the body of a POST: old callers send one that no length counts (RFC 9112, 2.2).
func (w *worker) skipLines() {
	for w.conn.lines > 0 && w.from < w.to && (w.buffer[w.from] == '\r' || w.buffer[w.from] == '\n') {
		w.conn.lines--
		w.from++
	}
}

// complete reads until there is a plain head, or cannot be one; partial: nothing more comes.
func (w *worker) complete() verdict {
	for late := false; ; late = true {
		size, v := w.head.parse(w.buffer[w.from:w.to], w.conn.server.takes)
		switch {
		case v == plain:
			w.from += size
			return plain
		case v == other || w.to-w.from == bufferSize:
			return other
		case !late:
			w.to = copy(w.buffer[:], w.buffer[w.from:w.to])
			w.from = 0
			w.conn.readWithin(w.conn.server.http.ReadHeaderTimeout)
		}
		n, err := w.conn.net.Read(w.buffer[w.to:])
		w.to += n
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			return other // it is told what is wrong with half a head
		default:
			return partial
		}
	}
}

// read reads of a body: what is in the buffer first.
func (w *worker) read(p []byte) (int, error) {
	if w.from == w.to {
		return w.conn.net.Read(p)
	}
	n := copy(p, w.buffer[w.from:w.to])
	w.from += n
	return n, nil
}

// call has the handler answer, and tells whether another call can follow.
func (w *worker) call() bool {
	w.conn.called, w.conn.lines = true, 0
	if w.request.Method == http.MethodPost {
		w.conn.lines = maxLines
	}
	w.body.left = w.request.ContentLength
	if w.body.left > int64(w.to-w.from) {
		w.conn.readWithin(w.conn.server.http.ReadTimeout)
	}
	if !w.handle() {
		w.answer.clear()
		return false
	}
	again := w.answer.finish()
	return w.body.skip() == nil && again // also behind the last one: to close before all is read would reset the connection
}

// handle runs the handler; false: it has panicked.
func (w *worker) handle() (ok bool) {
	server := w.conn.server
	defer func() {
		cause := recover()
		switch {
		case cause == nil, cause == http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
		case server.Panics != nil:
			server.Panics(cause)
		default:
			server.logf("http: panic serving %v: %v\n%s", w.conn.net.RemoteAddr(), cause, debug.Stack())
		}
	}()
	server.handler.ServeHTTP(&w.answer, &w.request)
	return true
}
