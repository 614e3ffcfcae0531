package connlimit

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"
)

// Conn is the entry of one connection in a Limiter. Methods of a nil Conn do nothing.
type Conn struct {
	limiter       *Limiter
	end           func()
	trusted       bool         // its peer is one of Options.Proxies
	prefix        netip.Prefix // of the peer; invalid if it has no IP address
	authenticated atomic.Bool  // counts as authenticated
	seen          atomic.Int64 // start or answer of the last request, in nanoseconds since the Limiter's start
	refused       atomic.Int64 // last time that the owner was at its limit, likewise; zero: never
	serving       atomic.Int32 // requests of it that wait for this process and not for the peer

	// Guarded by Limiter.mu.
	ranked    int64 // value of seen by which the queue is ordered
	heapIndex int   // index in the queue; -1 if not queued
	address   *address
	owner     Owner
	counted   bool // it is counted in Limiter.mu.owners
	closing   bool // it was asked to end
	released  bool
}

// Touch records the start of a request.
func (c *Conn) Touch() {
	if c != nil && !c.authenticated.Load() {
		c.seen.Store(c.limiter.now())
	}
}

// BeginService records that a request has arrived whole and waits for this process, until EndService. If room is needed, connections
// that wait for their peers are closed first.
func (c *Conn) BeginService() {
	if c != nil {
		c.serving.Add(1)
	}
}

// EndService records that a request for which BeginService was called is answered.
func (c *Conn) EndService() {
	if c != nil {
		c.Touch() // its peer is waited for from now on
		c.serving.Add(-1)
	}
}

// idleSince returns the time since which the process waits for the peer: now while it serves a request.
func (c *Conn) idleSince(now int64) int64 {
	if c.serving.Load() > 0 {
		return now
	}
	return c.seen.Load()
}

// IsAuthenticated reports whether the connection counts as authenticated. It is true for nil, for which Authenticated need
// not be called.
func (c *Conn) IsAuthenticated() bool { return c == nil || c.authenticated.Load() }

// Address returns the prefix of the peer, /32 or /64. It is invalid if the peer has no IP address or c is nil.
func (c *Conn) Address() netip.Prefix {
	if c == nil {
		return netip.Prefix{}
	}
	return c.prefix
}

// Trusted reports whether the peer is one of Options.Proxies, or unknown: many clients may then share its address.
func (c *Conn) Trusted() bool { return c == nil || c.trusted }

// retryInterval is how long Authenticated does not try again after the owner was at its limit, in nanoseconds.
const retryInterval = int64(time.Second)

// Authenticated records a request with valid credentials of owner, and reports whether the connection now counts as
// authenticated. If the owner is at its limit, the connection continues as an unauthenticated one. Only the first owner of a
// connection counts.
func (c *Conn) Authenticated(owner Owner) bool {
	if c == nil || c.authenticated.Load() {
		return true
	}
	if c.limiter.opts.Connections == 0 {
		return true
	}
	now := c.limiter.now()
	if at := c.refused.Load(); at != 0 && now-at < retryInterval {
		return false
	}
	if c.limiter.authenticate(c, owner) {
		return true
	}
	if c.refused.Swap(now) == 0 {
		c.limiter.counts.overShare.Add(1)
	}
	return false
}

func (l *Limiter) authenticate(c *Conn, owner Owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.released || c.closing:
		return false
	case c.heapIndex < 0:
		return true // a concurrent request has authenticated it
	case l.authenticatedLocked() >= l.opts.Connections-l.opts.Connections/newcomerShare:
		return false
	}
	if !c.trusted {
		if l.mu.owners[owner] >= l.opts.share(owner.Kind) {
			return false
		}
		l.mu.owners[owner]++
		c.owner, c.counted = owner, true
	}
	l.removeUnauthenticatedLocked(c)
	c.authenticated.Store(true)
	return true
}

// authenticatedLocked returns the number of authenticated connections.
func (l *Limiter) authenticatedLocked() int { return l.mu.open - l.mu.closing - l.mu.idle.Len() }

// share returns the limit of authenticated connections per owner.
func (o *Options) share(k Kind) int {
	if k == Device {
		return o.PerDevice
	}
	return o.PerBusiness
}

// Release removes the connection from the Limiter after it has ended. Further calls do nothing.
func (c *Conn) Release() {
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.released {
		return
	}
	c.released = true
	l.removeUnauthenticatedLocked(c)
	if c.counted {
		l.mu.owners[c.owner]--
		if l.mu.owners[c.owner] == 0 {
			delete(l.mu.owners, c.owner)
		}
	}
	if c.closing {
		l.mu.closing--
	}
	l.mu.open--
	l.warnLocked()
}

type contextKey struct{}

// WithConn returns a context with the connection, for its requests.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the connection of a request, or nil if the context has none.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}

// Touch records the start of a request with the context ctx.
func Touch(ctx context.Context) { FromContext(ctx).Touch() }

// Authenticated records that the credentials of the request with the context ctx are valid.
func Authenticated(ctx context.Context, owner Owner) { FromContext(ctx).Authenticated(owner) }
