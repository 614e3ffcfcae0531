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
	// dialTimeout bounds the dial of a connection. A lost SYN is first retransmitted after a second.
	dialTimeout = 3 * time.Second
	// idleTimeout is how long an idle connection is kept. Nodes close idle connections after five minutes. The gateway must
	// close first: otherwise a request could cross with the node's close.
	idleTimeout = time.Minute
)

// Pool holds the idle connections to one node. It does not limit those in use: slots do.
type Pool struct {
	addr string
	tls  *tls.Config // nil: no TLS

	mu struct {
		sync.Mutex
		idle   []*Conn            // a stack: the last used is taken first
		abort  map[*Conn]struct{} // connections in use that AbortAll aborts
		closed bool
	}
}

// NewPool returns a pool for the node at an http or https URL. The path is ignored.
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

// Take returns an idle connection that is still open, or a new one. The caller owns it until Keep or Close.
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
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{pool: p, net: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn() // nil on error: alive then cannot check the connection
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

// keep returns a connection to the pool.
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

// CloseIdle closes connections that were idle for longer than idleTimeout.
func (p *Pool) CloseIdle(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.mu.idle) && now.Sub(p.mu.idle[n].since) > idleTimeout {
		n++
	}
	old := append([]*Conn(nil), p.mu.idle[:n]...)
	p.mu.idle = append(p.mu.idle[:0], p.mu.idle[n:]...)
	p.mu.Unlock()
	for _, c := range old {
		c.net.Close()
	}
}

// Idle returns the number of idle connections.
func (p *Pool) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.idle)
}

// Close closes idle connections, and connections in use when they are returned. Calls in progress continue.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.mu.idle
	p.mu.idle = nil
	p.mu.closed = true
	p.mu.Unlock()
	for _, c := range idle {
		c.net.Close()
	}
}

// AbortAll aborts the calls that were begun as abortable, so that they are retried at another node.
func (p *Pool) AbortAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.abort {
		c.Abort()
	}
}

// abortable makes AbortAll abort the call on c until c is kept or closed.
func (p *Pool) abortable(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.abort[c] = struct{}{}
}

func (p *Pool) notAbortable(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.abort, c)
}
