package connlimit

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options make a Limiter. The zero value of a field means its default.
type Options struct {
	Connections     int            // all connections; zero: no limit at all
	Unauthenticated int            // default: a quarter of Connections, at most 10,000
	PerAddress      int            // unauthenticated ones of one address; default: an eighth of Unauthenticated, at least 16
	PerBusiness     int            // authenticated ones; default: half of Connections
	PerDevice       int            // authenticated ones of one phone number; default 64
	Proxies         []netip.Prefix // addresses without the limits per address and per owner: proxies and gateways
	WritePatience   time.Duration  // bound of a Write, before the time that its bytes take at slowestRate; default 30 s
	Log             *slog.Logger   // default: none
	Now             func() time.Time
}

const (
	mostUnauthenticated = 10_000
	leastPerAddress     = 16
	defaultPerDevice    = 64
	// newcomers is the share of Connections that authenticated ones leave to new callers: one in newcomers.
	newcomers = 16
)

func (o *Options) setDefaults() {
	if o.Unauthenticated == 0 {
		o.Unauthenticated = max(min(o.Connections/4, mostUnauthenticated), 1)
	}
	if o.PerAddress == 0 {
		o.PerAddress = max(o.Unauthenticated/8, leastPerAddress)
	}
	if o.PerBusiness == 0 {
		o.PerBusiness = max(o.Connections/2, 1)
	}
	if o.PerDevice == 0 {
		o.PerDevice = defaultPerDevice
	}
	if o.WritePatience == 0 {
		o.WritePatience = writePatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Limiter counts the connections of a process and closes those that the limits leave no room for.
type Limiter struct {
	opts    Options
	started time.Time

	mu struct {
		sync.Mutex
		open      int // admitted and not ended
		closing   int // of these: told to end, to make room
		idle      idleQueue
		addresses map[netip.Prefix]*address
		owners    map[Owner]int // authenticated connections
		warned    bool          // near the limit, and said so
	}
	counts counts
}

// address is a remote address that has unauthenticated connections.
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

// New makes a Limiter.
func New(o Options) *Limiter {
	o.setDefaults()
	l := &Limiter{opts: o, started: o.Now()}
	l.mu.addresses = map[netip.Prefix]*address{}
	l.mu.owners = map[Owner]int{}
	return l
}

func (l *Limiter) now() int64 { return int64(l.opts.Now().Sub(l.started)) }

// Admit counts a new connection; end must make it end, may be called from any goroutine and must not block. Admit closes another
// connection where the limits ask for it. It returns nil if there is no room: then the caller closes the new one.
func (l *Limiter) Admit(peer net.Addr, end func()) *Conn {
	c := &Conn{limiter: l, end: end, heapIndex: -1}
	c.seen.Store(l.now())
	c.trusted = trusts(l.opts.Proxies, peer)
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
	if l.opts.Connections > 0 && (l.mu.open-l.mu.closing >= l.opts.Connections || l.mu.closing > l.mostClosing()) {
		l.forgetLocked(a)
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

// mostClosing bounds the connections that were told to end and have not yet: each still has its descriptor.
func (l *Limiter) mostClosing() int { return max(l.opts.Connections/newcomers, leastPerAddress) }

// victimLocked takes out the connection that has to go before another one from a comes; nil: none.
func (l *Limiter) victimLocked(a *address) *Conn {
	if l.opts.Connections == 0 {
		return nil
	}
	var victim *Conn
	why := OfAddress
	switch {
	case a != nil && len(a.conns) >= l.opts.PerAddress:
		victim = a.idlest()
	case l.mu.idle.Len() >= l.opts.Unauthenticated, l.mu.open-l.mu.closing >= l.opts.Connections:
		victim, why = l.mu.idle.idlest(), OfAll
	}
	if victim == nil {
		return nil
	}
	l.counts.closed[why].Add(1)
	l.unrankLocked(victim)
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

func (l *Limiter) forgetLocked(a *address) {
	if a != nil && len(a.conns) == 0 {
		delete(l.mu.addresses, a.prefix)
	}
}

// unrankLocked takes a connection out of the unauthenticated ones.
func (l *Limiter) unrankLocked(c *Conn) {
	l.mu.idle.remove(c)
	if a := c.address; a != nil {
		a.remove(c)
		c.address = nil
		l.forgetLocked(a)
	}
}

// idlest returns the connection whose last request is longest ago.
func (a *address) idlest() *Conn {
	var idlest *Conn
	for _, c := range a.conns {
		if idlest == nil || c.seen.Load() < idlest.seen.Load() {
			idlest = c
		}
	}
	return idlest
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

// The log warns where this share of the connections is in use, and again when it was below the lower one meanwhile.
const (
	warnAt  = 0.8
	calmAt  = 0.7
	warning = "connections come near the limit of open files; raise it (ulimit -n), or add a node"
)

func (l *Limiter) warnLocked() {
	most := float64(l.opts.Connections)
	switch open := float64(l.mu.open); {
	case most == 0:
	case open >= warnAt*most && !l.mu.warned:
		l.mu.warned = true
		l.opts.Log.Warn(warning, "connections", l.mu.open, "limit", l.opts.Connections, "unauthenticated", l.mu.idle.Len())
	case open < calmAt*most:
		l.mu.warned = false
	}
}
