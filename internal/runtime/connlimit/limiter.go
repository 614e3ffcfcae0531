package connlimit

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a Limiter. Zero fields have defaults.
type Options struct {
	Connections     int            // all connections; zero: no limits
	Unauthenticated int            // default: a quarter of Connections, at most 10,000
	PerAddress      int            // unauthenticated connections per address; default: an eighth of Unauthenticated, at least 16
	PerBusiness     int            // authenticated connections per business; default: half of Connections
	PerDevice       int            // authenticated connections per phone number; default 64
	Proxies         []netip.Prefix // addresses of proxies and gateways, to which no limits per address and owner apply
	WriteTimeout    time.Duration  // bound of a Write, in addition to the time that its bytes take at minWriteRate; default 30 s
	Log             *slog.Logger   // nil: no log
	Now             func() time.Time
}

const (
	maxUnauthenticated = 10_000
	minPerAddress      = 16
	defaultPerDevice   = 64
	// newcomerShare is the part of Connections that authenticated connections leave free for new ones: one in newcomerShare.
	newcomerShare = 16
)

func (o Options) withDefaults() Options {
	o.Unauthenticated = cmp.Or(o.Unauthenticated, max(min(o.Connections/4, maxUnauthenticated), 1))
	o.PerAddress = cmp.Or(o.PerAddress, max(o.Unauthenticated/8, minPerAddress))
	o.PerBusiness = cmp.Or(o.PerBusiness, max(o.Connections/2, 1))
	o.PerDevice = cmp.Or(o.PerDevice, defaultPerDevice)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, defaultWriteTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Limiter counts the connections of a process and closes connections to keep the limits.
type Limiter struct {
	opts    Options
	started time.Time

	mu struct {
		sync.Mutex
		open      int // admitted and not released
		closing   int // of these: asked to end, to make room
		idle      idleQueue
		addresses map[netip.Prefix]*address
		owners    map[Owner]int // authenticated connections
		warned    bool          // a warning was logged and the number has not fallen below rearmShare since
	}
	counts counts
}

// address is a remote address with its unauthenticated connections.
type address struct {
	prefix netip.Prefix
	conns  []*Conn // at most Options.PerAddress
}

// counts are the counters of a Limiter.
type counts struct {
	admitted, refused, exhausted atomic.Uint64
	closed                       [reasons]atomic.Uint64
	overShare                    atomic.Uint64
}

// New returns a Limiter.
func New(o Options) *Limiter {
	o = o.withDefaults()
	l := &Limiter{opts: o, started: o.Now()}
	l.mu.addresses = map[netip.Prefix]*address{}
	l.mu.owners = map[Owner]int{}
	return l
}

func (l *Limiter) now() int64 { return int64(l.opts.Now().Sub(l.started)) }

// Admit registers a new connection. end must cause the connection to end; it may be called from any goroutine and must not
// block. Admit may end another connection to make room. It returns nil if there is no room; the caller must then close the
// new connection.
func (l *Limiter) Admit(peer net.Addr, end func()) *Conn {
	c := &Conn{limiter: l, end: end, heapIndex: -1}
	c.seen.Store(l.now())
	c.trusted = isTrusted(l.opts.Proxies, peer)
	c.prefix = addressOf(peer)
	victim, ok := l.admit(c, c.prefix)
	if victim != nil {
		victim.end()
	}
	if !ok {
		l.counts.refused.Add(1)
		return nil
	}
	l.counts.admitted.Add(1)
	return c
}

func (l *Limiter) admit(c *Conn, prefix netip.Prefix) (victim *Conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var a *address
	if !c.trusted && prefix.IsValid() {
		a = l.addressLocked(prefix)
	}
	victim = l.victimLocked(a)
	if l.opts.Connections > 0 && (l.mu.open-l.mu.closing >= l.opts.Connections || l.mu.closing > l.maxClosing()) {
		l.dropAddressLocked(a)
		return victim, false
	}
	if a != nil {
		c.address = a
		a.conns = append(a.conns, c)
	}
	l.mu.idle.push(c)
	l.mu.open++
	l.warnLocked()
	return victim, true
}

// maxClosing bounds the connections that were asked to end and have not ended yet. Each still holds its descriptor.
func (l *Limiter) maxClosing() int { return max(l.opts.Connections/newcomerShare, minPerAddress) }

// victimLocked removes and returns the connection that must end before another one from a is admitted; nil if none must.
func (l *Limiter) victimLocked(a *address) *Conn {
	if l.opts.Connections == 0 {
		return nil
	}
	var victim *Conn
	why := ReasonAddress
	if a != nil && len(a.conns) >= l.opts.PerAddress {
		victim = a.longestIdle(l.now())
	} else if l.mu.idle.Len() >= l.opts.Unauthenticated || l.mu.open-l.mu.closing >= l.opts.Connections {
		victim, why = l.mu.idle.longestIdle(l.now()), ReasonTotal
	}
	if victim == nil {
		return nil
	}
	l.counts.closed[why].Add(1)
	l.removeUnauthenticatedLocked(victim)
	victim.closing = true
	l.mu.closing++
	return victim
}

func (l *Limiter) addressLocked(prefix netip.Prefix) *address {
	a := l.mu.addresses[prefix]
	if a == nil {
		a = &address{prefix: prefix}
		l.mu.addresses[prefix] = a
	}
	return a
}

func (l *Limiter) dropAddressLocked(a *address) {
	if a != nil && len(a.conns) == 0 {
		delete(l.mu.addresses, a.prefix)
	}
}

// removeUnauthenticatedLocked removes a connection from the unauthenticated ones.
func (l *Limiter) removeUnauthenticatedLocked(c *Conn) {
	l.mu.idle.remove(c)
	if a := c.address; a != nil {
		a.remove(c)
		c.address = nil
		l.dropAddressLocked(a)
	}
}

// longestIdle returns the connection whose peer has been silent longest.
func (a *address) longestIdle(now int64) *Conn {
	var longest *Conn
	for _, c := range a.conns {
		if longest == nil || c.idleSince(now) < longest.idleSince(now) {
			longest = c
		}
	}
	return longest
}

func (a *address) remove(c *Conn) {
	last := len(a.conns) - 1
	for i, other := range a.conns {
		if other == c {
			a.conns[i] = a.conns[last]
			a.conns[last] = nil
			a.conns = a.conns[:last]
			return
		}
	}
}

// A warning is logged when warnShare of the connections is in use. The next one is logged only after the number has fallen
// below rearmShare.
const (
	warnShare  = 0.8
	rearmShare = 0.7
	warning    = "connections come near the limit of open files; raise it (ulimit -n), or add a node"
)

func (l *Limiter) warnLocked() {
	most := float64(l.opts.Connections)
	switch open := float64(l.mu.open); {
	case most == 0:
	case open >= warnShare*most && !l.mu.warned:
		l.mu.warned = true
		l.opts.Log.Warn(warning, "connections", l.mu.open, "limit", l.opts.Connections, "unauthenticated", l.mu.idle.Len())
	case open < rearmShare*most:
		l.mu.warned = false
	}
}
