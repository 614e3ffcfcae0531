package httpfast

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// conn is a connection on the fast path. While there is something to read, a worker serves it; an idle connection consists of
// this struct only.
type conn struct {
	server        *Server
	net           notifyingConn
	acceptedAt    time.Time
	ctx           context.Context    //nolint:containedctx // of its requests
	cancel        context.CancelFunc // cancels ctx
	resume        func()             // dispatches the connection to a worker
	request       http.Request       // template of its requests
	trailingLines int                // CR and LF octets that may still precede the next request

	mu       sync.Mutex // also held while waiting and the read deadline change together
	waiting  bool       // for the first octet of a request
	served   bool       // it has served a request
	finished bool       // finish was called
}

func newConn(s *Server, nc notifyingConn) *conn {
	c := &conn{server: s, net: nc, acceptedAt: time.Now()}
	ctx := context.WithValue(s.ctx, http.LocalAddrContextKey, nc.LocalAddr())
	c.ctx, c.cancel = context.WithCancel(s.connContext(ctx, nc))
	c.resume = func() { s.workers.dispatch(c) }
	c.request = *(&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: nc.RemoteAddr().String()}).WithContext(c.ctx)
	return c
}

// start registers the connection and waits for its first request.
func (c *conn) start() {
	c.net.OnEnd(c.cancel)
	c.server.add(c)
	c.waitForRequest()
	c.server.workers.dispatch(c)
}

// waitForRequest marks the connection as waiting and sets the read deadline for it.
func (c *conn) waitForRequest() {
	within := c.server.http.IdleTimeout
	if !c.served {
		within = c.server.http.ReadHeaderTimeout
	}
	c.mu.Lock()
	c.setReadTimeout(within)
	c.waiting = true
	c.mu.Unlock()
	if c.server.draining.Load() {
		c.shortenDeadline()
	}
}

// requestArrived marks the connection as not waiting.
func (c *conn) requestArrived() {
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
}

// shortenDeadline shortens the wait for a request during a shutdown: to now, or for a connection without a request so far to
// the server's firstRequestTimeout.
func (c *conn) shortenDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waiting {
		return
	}
	if c.served {
		_ = c.net.SetReadDeadline(time.Now()) // never fails
	} else {
		_ = c.net.SetReadDeadline(c.acceptedAt.Add(c.server.firstRequestTimeout))
	}
}

// setReadTimeout sets the read deadline to d from now; zero: no deadline.
func (c *conn) setReadTimeout(d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = c.net.SetReadDeadline(until) // never fails
}

// finish removes the connection from the fast path. If v is fallback, net/http serves it from now on and reads read first;
// otherwise it is closed.
func (c *conn) finish(v outcome, read []byte) {
	c.mu.Lock()
	over := c.finished
	c.finished = true
	c.mu.Unlock()
	if over {
		return // a panic occurred after an earlier finish
	}
	defer c.server.active.Leave()
	defer c.cancel()
	c.net.OnEnd(nil)
	c.server.remove(c)
	c.server.state(c.net, http.StateClosed)
	if v != fallback {
		_ = c.net.Close() // the error has no receiver
		return
	}
	_ = c.net.SetDeadline(time.Time{}) // never fails
	c.server.fallback.hand(newPrereadConn(c.net, read))
}
