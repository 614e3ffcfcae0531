package connlimit

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Listen returns a listener whose connections count. They can do what those of inner can, where inner is a listener of package netpoll.
func (l *Limiter) Listen(inner net.Listener) net.Listener {
	return &listener{Listener: inner, limiter: l, ended: make(chan struct{})}
}

type listener struct {
	net.Listener
	limiter *Limiter
	close   sync.Once
	ended   chan struct{}
}

// Pauses between accepts while no descriptor is left.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Accept implements net.Listener. Where no descriptor is left it closes an idle connection, waits and tries again.
func (l *listener) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		nc, err := l.Listener.Accept()
		if Exhausted(err) {
			pause = min(max(2*pause, firstPause), lastPause)
			l.limiter.exhausted(err)
			l.wait(pause)
			continue
		}
		if err != nil {
			return nil, err
		}
		if c := l.limiter.adopt(nc); c != nil {
			return c, nil
		}
		_ = nc.Close() // there is no room; its peer sees a reset
	}
}

// wait waits; the end of the listener ends it.
func (l *listener) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ended:
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.close.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

// exhausted makes room when the system has no descriptor left, and logs the first of a row of such failures.
func (l *Limiter) exhausted(err error) {
	if l.counts.exhausted.Add(1) == 1 {
		l.opts.Log.Warn("no file descriptor is left to accept a connection; idle ones are closed and accepting is tried again: raise the limit of open files (ulimit -n)", "error", err)
	}
	l.mu.Lock()
	victim := l.mu.idle.idlest()
	if victim != nil {
		l.counts.closed[OfAll].Add(1)
		l.unrankLocked(victim)
		victim.closing = true
		l.mu.closing++
	}
	l.mu.Unlock()
	if victim != nil {
		victim.end()
	}
}

// polled is what connections of package netpoll can do.
type polled interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
	OnEnd(f func())
	ReadOr(b []byte, f *func()) (int, error)
	Detach() (fd int, err error)
}

// adopt admits a connection; nil: there is no room.
func (l *Limiter) adopt(nc net.Conn) net.Conn {
	if p, ok := nc.(polled); ok {
		w := &polledConn{polled: p}
		if w.place = l.Admit(nc.RemoteAddr(), w.drop); w.place == nil {
			return nil
		}
		return w
	}
	w := &plainConn{Conn: nc}
	if w.place = l.Admit(nc.RemoteAddr(), w.drop); w.place == nil {
		return nil
	}
	return w
}

// plainConn is a connection that counts. Its peer may not hold a writer for ever, as package netpoll's may not.
type plainConn struct {
	net.Conn
	place *Conn

	mu      sync.Mutex
	writeBy time.Time // deadline that its owner has set; zero: none
}

// A Write without a deadline, or with a later one, fails after Options.WritePatience and the time that slowestRate takes for its bytes.
const (
	writePatience = 30 * time.Second // default of Options.WritePatience
	slowestRate   = 16 << 10         // bytes per second
)

// Write implements net.Conn.
func (c *plainConn) Write(b []byte) (int, error) {
	limit := time.Now().Add(c.place.limiter.opts.WritePatience + time.Duration(len(b))*time.Second/slowestRate)
	c.mu.Lock()
	limited := c.writeBy.IsZero() || c.writeBy.After(limit)
	if limited {
		_ = c.Conn.SetWriteDeadline(limit) // if it fails so does the write
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	if limited {
		c.mu.Lock()
		_ = c.Conn.SetWriteDeadline(c.writeBy) // as above
		c.mu.Unlock()
	}
	return n, err
}

// SetWriteDeadline implements net.Conn.
func (c *plainConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *plainConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close implements net.Conn.
func (c *plainConn) Close() error {
	err := c.Conn.Close()
	c.place.Release()
	return err
}

func (c *plainConn) drop() { _ = c.Conn.Close() } // its owner hears of it and calls Close

// CloseWrite ends the sending side.
func (c *plainConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *plainConn) limited() *Conn { return c.place }

// polledConn is a connection of package netpoll that counts.
type polledConn struct {
	polled
	place *Conn

	mu  sync.Mutex
	end func() // of the new owner of the descriptor; nil: it is ours
}

// Close implements net.Conn.
func (c *polledConn) Close() error {
	err := c.polled.Close()
	c.mu.Lock()
	detached := c.end != nil
	c.mu.Unlock()
	if !detached {
		c.place.Release()
	}
	return err
}

// drop ends the connection; its descriptor may have a new owner.
func (c *polledConn) drop() {
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if end != nil {
		end()
		return
	}
	_ = c.polled.Close() // its owner hears of it and calls Close
}

// Handover gives the descriptor to a new owner. end asks the owner to end the connection; the owner calls closed once it has closed
// the descriptor.
func (c *polledConn) Handover(end func()) (fd int, closed func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fd, err = c.Detach(); err != nil {
		return -1, nil, err
	}
	c.end = end
	return fd, c.place.Release, nil
}

func (c *polledConn) limited() *Conn { return c.place }

// Of returns the place of a connection that came from a Limiter's listener, also beneath TLS; nil if it has none.
func Of(nc net.Conn) *Conn {
	for nc != nil {
		if c, ok := nc.(interface{ limited() *Conn }); ok {
			return c.limited()
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = outer.NetConn()
	}
	return nil
}

// ConnContext is for [net/http.Server.ConnContext]: the calls of a connection know their place then.
func ConnContext(ctx context.Context, nc net.Conn) context.Context {
	if c := Of(nc); c != nil {
		return WithConn(ctx, c)
	}
	return ctx
}
