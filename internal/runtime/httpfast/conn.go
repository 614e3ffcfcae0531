package httpfast

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// conn is a connection. Between two calls it is this and no more; while there is something to read, a worker has it.
type conn struct {
	server  *Server
	net     watched
	born    time.Time
	ctx     context.Context    //nolint:containedctx // of its calls
	gone    context.CancelFunc // ends it
	resume  func()             // has a worker take it
	request http.Request       // what those of all its calls begin as
	lines   int                // octets of ends of lines that may come before the next call

	mu      sync.Mutex // around a change of waiting, and the deadline that Shutdown sets
	waiting bool       // for the first octet of a call
	called  bool       // there has been one
	over    bool       // end was called
}

func newConn(s *Server, nc watched) *conn {
	c := &conn{server: s, net: nc, born: time.Now()}
	ctx := context.WithValue(s.ctx, http.LocalAddrContextKey, nc.LocalAddr())
	c.ctx, c.gone = context.WithCancel(s.connContext(ctx, nc))
	c.resume = func() { s.workers.give(c) }
	c.request = *(&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: nc.RemoteAddr().String()}).WithContext(c.ctx)
	return c
}

// begin lets it wait for its first call.
func (c *conn) begin() {
	c.net.OnEnd(c.gone)
	c.server.add(c)
	c.await()
	c.server.workers.give(c)
}

// await begins to wait for a call.
func (c *conn) await() {
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
}

// came ends the wait for a call.
func (c *conn) came() {
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
}

// hurry shortens the wait for a call.
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

// readWithin gives reads a time from now; zero: as long as they like.
func (c *conn) readWithin(d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = c.net.SetReadDeadline(until) // it cannot fail
}

// end ends what it was here: v says why. read is what net/http gets, if it is net/http's now.
func (c *conn) end(v verdict, read []byte) {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.mu.Unlock()
	if over {
		return // a panic met it after its end
	}
	defer c.server.inside.Leave()
	defer c.gone()
	c.net.OnEnd(nil)
	c.server.remove(c)
	c.server.state(c.net, http.StateClosed)
	if v != other {
		_ = c.net.Close() // nobody is left to be told
		return
	}
	_ = c.net.SetDeadline(time.Time{}) // it cannot fail
	c.server.beyond.give(newBegun(c.net, read))
}
