package connlimit

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"
)

// Conn is the place of one connection in the budget.
type Conn struct {
	limiter       *Limiter
	end           func()
	trusted       bool         // its peer is one of Options.Proxies
	prefix        netip.Prefix // of the peer; invalid if it has no IP address
	authenticated atomic.Bool  // good credentials were used, and their owner had room
	seen          atomic.Int64 // begin of the last request, in nanoseconds since the Limiter's start
	refused       atomic.Int64 // when the owner had no room the last time; zero: never

	// The Limiter's lock guards what follows.
	ranked    int64 // seen, as the queue has it
	heapIndex int   // in the queue; -1: not there
	address   *address
	owner     Owner
	owned     bool // it counts for owner
	closing   bool // it was told to end
	released  bool
}

// Touch notes that a request begins.
func (c *Conn) Touch() {
	if c != nil && !c.authenticated.Load() {
		c.seen.Store(c.limiter.now())
	}
}

// IsAuthenticated reports whether nothing is to be asked of the connection any more: it is authenticated, or has no place.
func (c *Conn) IsAuthenticated() bool { return c == nil || c.authenticated.Load() }

// Address returns the prefix that the peer is counted under: /32 or /64. It is invalid if the peer has no IP address, or c is nil.
func (c *Conn) Address() netip.Prefix {
	if c == nil {
		return netip.Prefix{}
	}
	return c.prefix
}

// Trusted reports whether the peer is a trusted proxy, or no peer is known: many callers may share its address.
func (c *Conn) Trusted() bool { return c == nil || c.trusted }

// askAgain is how long a connection whose owner had no room waits before it asks again.
const askAgain = int64(time.Second)

// Authenticated notes that a request with good credentials of owner was taken, and reports whether the connection is authenticated
// now. It is not where the owner has used its share; then it goes on as an unauthenticated one. The first owner of a
// connection counts.
func (c *Conn) Authenticated(owner Owner) bool {
	switch {
	case c == nil || c.authenticated.Load():
		return true
	case c.limiter.opts.Connections == 0:
		return true
	}
	now := c.limiter.now()
	if at := c.refused.Load(); at != 0 && now-at < askAgain {
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
		return true // another call on it was faster
	case l.authenticatedLocked() >= l.opts.Connections-l.opts.Connections/newcomers:
		return false
	}
	if !c.trusted {
		if l.mu.owners[owner] >= l.opts.share(owner.Kind) {
			return false
		}
		l.mu.owners[owner]++
		c.owner, c.owned = owner, true
	}
	l.unrankLocked(c)
	c.authenticated.Store(true)
	return true
}

// authenticatedLocked returns how many connections are.
func (l *Limiter) authenticatedLocked() int { return l.mu.open - l.mu.closing - l.mu.idle.Len() }

// share returns how many connections one owner may have.
func (o *Options) share(k Kind) int {
	if k == Device {
		return o.PerDevice
	}
	return o.PerBusiness
}

// Release gives the place back when the connection has ended. Only the first call counts.
func (c *Conn) Release() {
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.released {
		return
	}
	c.released = true
	l.unrankLocked(c)
	if c.owned {
		if l.mu.owners[c.owner]--; l.mu.owners[c.owner] == 0 {
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

// WithConn returns a context of the calls of a connection.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the connection of a call; nil if it has none. The methods Touch and Authenticated of nil do nothing.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}

// Touch notes that a call begins; ctx is its request's.
func Touch(ctx context.Context) { FromContext(ctx).Touch() }

// Authenticated notes that the credentials of a call were good; ctx is its request's.
func Authenticated(ctx context.Context, owner Owner) { FromContext(ctx).Authenticated(owner) }
