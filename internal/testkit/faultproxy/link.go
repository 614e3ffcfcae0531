// Package faultproxy is a TCP proxy whose connections can be delayed, silenced or cut while they are in use. The torture
// command and tests put it between a node and its database, or between a client and a node. It forwards bytes and does not
// interpret them.
//
// Concurrency: New, Inject, Clear and Close belong to one owner; a Link forwards any number of connections at the same time.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link is a proxy in front of one server.
type Link struct {
	name   string
	server string // address to dial for every accepted connection
	addr   string // address it listens on, the same after each Clear

	running sync.WaitGroup // accept loop and connections

	mu struct {
		sync.Mutex
		listener net.Listener             // nil while Severed and after Close
		cancel   context.CancelFunc       // ends dials of the current listener; nil if listener is nil
		open     map[*connection]struct{} // connections with both ends
		fault    Fault
		changed  chan struct{} // closed by the next change of fault
	}
}

// New listens on the address listen, on a free port if its port is 0, and forwards every connection to server.
func New(name, listen, server string) (*Link, error) {
	l := &Link{name: name, server: server, addr: listen}
	l.mu.open = make(map[*connection]struct{})
	l.mu.changed = make(chan struct{})
	if err := l.listen(); err != nil {
		return nil, err
	}
	return l, nil
}

// Addr returns the address that clients dial instead of the server's.
func (l *Link) Addr() string { return l.addr }

// Name returns the name that New was given.
func (l *Link) Name() string { return l.name }

// Fault is a failure mode of a link. The zero value is no fault.
type Fault struct {
	Kind   Kind
	Delay  time.Duration // delay of each read under Delayed
	Jitter time.Duration // largest random difference from Delay, in either direction
}

// Kind is the kind of a fault.
type Kind string

// The kinds.
const (
	Delayed   Kind = "delayed"   // bytes arrive late, in order
	Swallowed Kind = "swallowed" // bytes and ends of streams are discarded, connections stay open
	Severed   Kind = "severed"   // open connections are reset, new connections are refused
)

// Inject starts a fault. It returns an error if another fault is in force or the kind is unknown.
func (l *Link) Inject(h Fault) error {
	switch h.Kind {
	case Delayed, Swallowed, Severed:
	default:
		return fmt.Errorf("%s: unknown fault %q", l.name, h.Kind)
	}
	l.mu.Lock()
	current := l.mu.fault.Kind
	if current == "" {
		l.setFaultLocked(h)
	}
	l.mu.Unlock()
	if current != "" {
		return fmt.Errorf("%s: %s: still %s", l.name, h.Kind, current)
	}
	if h.Kind == Severed {
		l.shut()
	}
	return nil
}

// Clear ends the fault that Inject started. Connections that lost bytes or an end of stream are reset: their streams have gaps.
// Bytes that were being delayed are forwarded at once. After Severed, the link listens on the same address again.
func (l *Link) Clear(_ context.Context, h Fault) error {
	l.mu.Lock()
	current := l.mu.fault.Kind
	l.mu.Unlock()
	if current != h.Kind {
		return fmt.Errorf("%s: clear %s: current fault is %q", l.name, h.Kind, current)
	}
	if h.Kind == Severed {
		if err := l.listen(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.mu.open {
		if c.lossy {
			c.reset()
		}
	}
	l.setFaultLocked(Fault{})
	return nil
}

// Close resets all connections and stops listening. It returns when no goroutine of the link is left.
func (l *Link) Close() { l.shut() }

func (l *Link) setFaultLocked(h Fault) {
	l.mu.fault = h
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// currentFault returns the fault in force and a channel that is closed when it changes.
func (l *Link) currentFault() (Fault, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.fault, l.mu.changed
}

// swallows reports whether c may not forward anything: the link is silent, or was and c lost something (a stream with a gap
// must not go on). It marks c as lossy under the lock of the fault, so that Clear misses no connection.
func (l *Link) swallows(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.lossy = c.lossy || l.mu.fault.Kind == Swallowed
	return c.lossy
}

func (l *Link) listen() error {
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.addr = listener.Addr().String()
	l.mu.Lock()
	l.mu.listener, l.mu.cancel = listener, cancel
	l.mu.Unlock()
	l.running.Go(func() { l.accept(ctx, listener) })
	return nil
}

func (l *Link) shut() {
	l.mu.Lock()
	if l.mu.listener != nil {
		_ = l.mu.listener.Close()
		l.mu.cancel()
		l.mu.listener, l.mu.cancel = nil, nil
	}
	for c := range l.mu.open {
		c.reset()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// accept forwards the connections of one listener until it is closed.
func (l *Link) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor, or the client left first
			time.Sleep(acceptPause)
			continue
		}
		l.running.Go(func() { l.forward(ctx, client.(*net.TCPConn)) })
	}
}

// acceptPause is the time between two failed accepts, so that a lack of descriptors does not become a busy loop.
const acceptPause = 5 * time.Millisecond

// forward dials the server and copies in both directions until both have ended. A server that cannot be reached resets
// the client's connection.
func (l *Link) forward(ctx context.Context, client *net.TCPConn) {
	c := &connection{link: l, client: client, done: make(chan struct{})}
	defer c.reset()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", l.server)
	if err != nil {
		return
	}
	c.server = server.(*net.TCPConn)
	if !l.add(ctx, c) {
		return
	}
	defer l.remove(c)
	c.copyBoth()
}

// add registers an open connection. It reports false if its listener was closed in the meantime.
func (l *Link) add(ctx context.Context, c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	l.mu.open[c] = struct{}{}
	return true
}

func (l *Link) remove(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.open, c)
}
