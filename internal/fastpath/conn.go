package fastpath

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// bufferSize bounds a plain head, in bytes. It is not more than the buffer of net/http, which takes all of it at once where a
// connection is handed over; the hubs, which take the descriptor, rely on it.
const bufferSize = 4 << 10

// conn is a connection and its goroutine.
type conn struct {
	server   *Server
	net      watched
	born     time.Time
	ctx      context.Context    //nolint:containedctx // of its calls
	gone     context.CancelFunc // ends it
	head     head
	body     body
	answer   response
	buffer   [bufferSize]byte
	from, to int // what of it was read and not taken

	mu      sync.Mutex // around a change of waiting, and the deadline that Shutdown sets
	waiting bool       // for the first octet of a call
	called  bool       // there has been one
}

func newConn(s *Server, nc watched) *conn {
	c := &conn{server: s, net: nc, born: time.Now()}
	c.body.conn, c.answer.conn = c, c
	c.answer.header = http.Header{}
	c.ctx, c.gone = context.WithCancel(context.WithValue(s.ctx, http.LocalAddrContextKey, nc.LocalAddr()))
	return c
}

// serve answers one call after the other.
func (c *conn) serve() {
	defer c.server.inside.Leave()
	defer c.gone()
	c.net.OnEnd(c.gone)
	c.head.request = *(&http.Request{
		URL: &c.head.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: &c.body, RemoteAddr: c.net.RemoteAddr().String(),
	}).WithContext(c.ctx)
	c.server.add(c)
	v, answered := plain, true
	for v == plain && answered {
		if v = c.next(); v == plain {
			answered = c.call()
		}
	}
	c.net.OnEnd(nil)
	c.server.remove(c)
	c.server.state(c.net, http.StateClosed)
	if v == other {
		c.handOver()
		return
	}
	_ = c.net.Close() // nobody is left to be told
}

// next reads until there is a plain head, or cannot be one; partial: nothing more comes.
func (c *conn) next() verdict {
	if c.from == c.to && c.wait() != nil {
		return partial
	}
	for late := false; ; late = true {
		size, v := c.head.parse(c.buffer[c.from:c.to], c.server.takes)
		switch {
		case v == plain:
			c.from += size
			return plain
		case v == other || c.to-c.from == bufferSize:
			return other
		case !late:
			c.to = copy(c.buffer[:], c.buffer[c.from:c.to])
			c.from = 0
			c.readWithin(c.server.http.ReadHeaderTimeout)
		}
		switch err := c.fill(); {
		case errors.Is(err, io.EOF):
			return other // it is told what is wrong with half a head
		case err != nil:
			return partial
		}
	}
}

// wait reads the first octets of a call.
func (c *conn) wait() error {
	c.from, c.to = 0, 0
	within := c.server.http.IdleTimeout
	if !c.called {
		within = c.server.http.ReadHeaderTimeout
	}
	c.mu.Lock()
	c.readWithin(within)
	c.waiting = true
	c.mu.Unlock()
	if c.server.draining.Load() {
		c.hurry()
	}
	err := c.fill()
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	return err
}

// hurry ends the wait for a call.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.waiting:
	case c.called:
		_ = c.net.SetReadDeadline(time.Now()) // it cannot fail
	default:
		_ = c.net.SetReadDeadline(c.born.Add(c.server.firstCall))
	}
}

// fill reads what comes next into the buffer, which has room.
func (c *conn) fill() error {
	n, err := c.net.Read(c.buffer[c.to:])
	c.to += n
	if n > 0 {
		return nil
	}
	return err
}

// read reads of a body: what is in the buffer first.
func (c *conn) read(p []byte) (int, error) {
	if c.from == c.to {
		return c.net.Read(p)
	}
	n := copy(p, c.buffer[c.from:c.to])
	c.from += n
	return n, nil
}

// readWithin gives reads a time from now; zero: as long as they like.
func (c *conn) readWithin(d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = c.net.SetReadDeadline(until) // it cannot fail
}

// call has the handler answer, and tells whether another call can follow.
func (c *conn) call() bool {
	c.called = true
	c.body.left = c.head.request.ContentLength
	if c.body.left > int64(c.to-c.from) {
		c.readWithin(c.server.http.ReadTimeout)
	}
	if !c.handle() {
		return false
	}
	again := c.answer.finish()
	return c.body.skip() == nil && again // also behind the last one: to close before all is read would reset the connection
}

// handle runs the handler; false: it has panicked.
func (c *conn) handle() (ok bool) {
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
			c.server.logf("http: panic serving %v: %v\n%s", c.net.RemoteAddr(), cause, debug.Stack())
		}
	}()
	c.server.http.Handler.ServeHTTP(&c.answer, &c.head.request)
	return true
}

// handOver gives the connection to net/http, with what was read.
func (c *conn) handOver() {
	_ = c.net.SetDeadline(time.Time{}) // it cannot fail
	c.server.beyond.give(&begun{c.net, append([]byte(nil), c.buffer[c.from:c.to]...)})
}
