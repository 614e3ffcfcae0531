package connlimit

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Listen returns a listener that admits the connections of inner. If inner is a listener of package netpoll, its connections
// have the methods of netpoll.Conn.
func (l *Limiter) Listen(inner net.Listener) net.Listener {
	return &listener{Listener: inner, limiter: l, ended: make(chan struct{})}
}

type listener struct {
	net.Listener
	limiter *Limiter
	close   sync.Once
	ended   chan struct{}
}

// Bounds of the pause between attempts to accept while no descriptor is left.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

// Accept implements net.Listener. If no descriptor is left, it closes an idle connection, pauses and tries again.
func (l *listener) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		nc, err := l.Listener.Accept()
		if Exhausted(err) {
			pause = min(max(2*pause, minAcceptDelay), maxAcceptDelay)
			l.limiter.exhausted(err)
			l.wait(pause)
			continue
		}
		if err != nil {
			return nil, err
		}
		if c := l.limiter.wrap(nc); c != nil {
			return c, nil
		}
		_ = nc.Close() // no room; the peer sees a reset
	}
}

// wait pauses for d, or until the listener is closed.
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

// exhausted closes the longest idle connection after an accept failed for lack of a descriptor. It logs the first failure.
func (l *Limiter) exhausted(err error) {
	if l.counts.exhausted.Add(1) == 1 {
		l.opts.Log.Warn("no file descriptor is left to accept a connection; idle ones are closed and accepting is tried again: raise the limit of open files (ulimit -n)", "error", err)
	}
	l.mu.Lock()
	victim := l.mu.idle.longestIdle(l.now())
	if victim != nil {
		l.counts.closed[ReasonTotal].Add(1)
		l.removeUnauthenticatedLocked(victim)
		victim.closing = true
		l.mu.closing++
	}
	l.mu.Unlock()
	if victim != nil {
		victim.end()
	}
}

// polled is implemented by the connections of package netpoll.
type polled interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
	OnEnd(f func())
	ReadOrNotify(b []byte, f *func()) (int, error)
	Detach() (fd int, err error)
}

// wrap admits a connection and returns it with its slot. It returns nil if there is no room.
func (l *Limiter) wrap(nc net.Conn) net.Conn {
	if p, ok := nc.(polled); ok {
		w := &polledConn{polled: p}
		w.slot = l.Admit(nc.RemoteAddr(), w.drop)
		if w.slot == nil {
			return nil
		}
		return w
	}
	w := &plainConn{Conn: nc}
	w.slot = l.Admit(nc.RemoteAddr(), w.drop)
	if w.slot == nil {
		return nil
	}
	return w
}

// plainConn is an admitted connection of any type. It bounds the time of a Write as package netpoll does.
type plainConn struct {
	net.Conn
	slot *Conn

	mu      sync.Mutex
	writeBy time.Time // write deadline set by the user; zero if none
}

// A Write without a deadline, or with a later one, fails after Options.WriteTimeout plus the time that its bytes take at
// minWriteRate.
const (
	defaultWriteTimeout = 30 * time.Second // default of Options.WriteTimeout
	minWriteRate        = 16 << 10         // bytes per second
)

// Write implements net.Conn.
func (c *plainConn) Write(b []byte) (int, error) {
	limit := time.Now().Add(c.slot.limiter.opts.WriteTimeout + time.Duration(len(b))*time.Second/minWriteRate)
	c.mu.Lock()
	limited := c.writeBy.IsZero() || c.writeBy.After(limit)
	if limited {
		_ = c.Conn.SetWriteDeadline(limit) // if it fails, the write fails too
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
	c.slot.Release()
	return err
}

func (c *plainConn) drop() { _ = c.Conn.Close() } // the owner's next call fails, and it calls Close

// CloseWrite shuts down the sending side.
func (c *plainConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *plainConn) slotOf() *Conn { return c.slot }

// polledConn is an admitted connection of package netpoll.
type polledConn struct {
	polled
	slot *Conn

	mu  sync.Mutex
	end func() // asks the new owner of the descriptor to close it; nil before Handover
}

// Close implements net.Conn.
func (c *polledConn) Close() error {
	err := c.polled.Close()
	c.mu.Lock()
	detached := c.end != nil
	c.mu.Unlock()
	if !detached {
		c.slot.Release()
	}
	return err
}

// drop ends the connection, through the new owner of the descriptor if there is one.
func (c *polledConn) drop() {
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if end != nil {
		end()
		return
	}
	_ = c.polled.Close() // the owner's next call fails, and it calls Close
}

// Handover transfers the descriptor to a new owner. end asks the owner to close the connection. The owner must call closed
// after it has closed the descriptor.
func (c *polledConn) Handover(end func()) (fd int, closed func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd, err = c.Detach()
	if err != nil {
		return -1, nil, err
	}
	c.end = end
	return fd, c.slot.Release, nil
}

func (c *polledConn) slotOf() *Conn { return c.slot }

// ConnOf returns the Conn of a connection from a Limiter's listener, even below TLS; nil if it has none.
func ConnOf(nc net.Conn) *Conn {
	for nc != nil {
		if c, ok := nc.(interface{ slotOf() *Conn }); ok {
			return c.slotOf()
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = outer.NetConn()
	}
	return nil
}

// ConnContext is for [net/http.Server.ConnContext]. It makes the Conn available to requests through FromContext.
func ConnContext(ctx context.Context, nc net.Conn) context.Context {
	if c := ConnOf(nc); c != nil {
		return WithConn(ctx, c)
	}
	return ctx
}
