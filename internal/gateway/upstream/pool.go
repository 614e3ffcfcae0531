package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"
)

const (
	// dialWithin bounds a connection's beginning. The first repeat of a lost SYN comes after a second.
	dialWithin = 3 * time.Second
	// idleFor is how long a connection is kept without a call. Nodes give them up after five minutes: we must be first,
	// or a call meets the end of its connection on the way.
	idleFor = time.Minute
)

// Pool keeps connections to one node. It does not count those in use: who asks for one has taken a slot before.
type Pool struct {
	addr string
	tls  *tls.Config // nil: in the clear

	mu struct {
		sync.Mutex
		idle   []*Conn            // the last one used is taken first; as many as there were calls at once
		abort  map[*Conn]struct{} // in use, and to be cut off by AbortAll
		closed bool
	}
}

// NewPool makes a pool for the node at an http or https URL; its path is not looked at.
func NewPool(node *url.URL) *Pool {
	p := &Pool{addr: node.Host}
	port := "80"
	if node.Scheme == "https" {
		port = "443"
		p.tls = &tls.Config{ServerName: node.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if node.Port() == "" {
		p.addr = net.JoinHostPort(node.Hostname(), port)
	}
	p.mu.abort = map[*Conn]struct{}{}
	return p
}

// Take gives a connection that lives, an old or a new one. It belongs to the caller until Keep or Close.
func (p *Pool) Take(ctx context.Context) (*Conn, error) {
	for {
		c := p.pop()
		if c == nil {
			return p.dial(ctx)
		}
		if c.alive() {
			return c, nil
		}
		c.Close()
	}
}

func (p *Pool) pop() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.mu.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.mu.idle[last]
	p.mu.idle[last] = nil
	p.mu.idle = p.mu.idle[:last]
	return c
}

func (p *Pool) dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{pool: p, net: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn() // nil: it is not looked at before it is used
	}
	if p.tls != nil {
		secured := tls.Client(nc, p.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c.net = secured
	}
	return c, nil
}

// keep takes a connection back whose answer was read to its end.
func (p *Pool) keep(c *Conn) {
	c.since = time.Now()
	p.mu.Lock()
	closed := p.mu.closed
	if !closed {
		p.mu.idle = append(p.mu.idle, c)
	}
	p.mu.Unlock()
	if closed {
		c.net.Close()
	}
}

// Tidy closes what has been idle for too long.
func (p *Pool) Tidy(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.mu.idle) && now.Sub(p.mu.idle[n].since) > idleFor {
		n++
	}
	old := append([]*Conn(nil), p.mu.idle[:n]...)
	p.mu.idle = append(p.mu.idle[:0], p.mu.idle[n:]...)
	p.mu.Unlock()
	for _, c := range old {
		c.net.Close()
	}
}

// Idle is how many connections wait for a call.
func (p *Pool) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.idle)
}

// Close closes what is idle, and from now on whatever comes back. Calls under way go on.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.mu.idle
	p.mu.idle, p.mu.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.net.Close()
	}
}

// AbortAll cuts off the calls that may be: they are better made elsewhere.
func (p *Pool) AbortAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.abort {
		c.Abort()
	}
}

// Abortable lets AbortAll cut off what c is used for, until it is kept or closed.
func (p *Pool) abortable(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.abort[c] = struct{}{}
}

func (p *Pool) settled(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.abort, c)
}
