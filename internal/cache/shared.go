package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// breaker keeps calls from a level that does not answer.
type breaker interface {
	Do(call func() error) error
}

// SharedOptions make a Shared; the zero value of a field means its default.
type SharedOptions struct {
	Breaker      breaker                           // default: none
	Timeout      time.Duration                     // of one call of the level; default 50 ms, a hundred times what it takes
	Heartbeat    time.Duration                     // after this long without a text a node says something, so that it can be heard; default 500 ms
	Silence      time.Duration                     // after this long without a text the subscription counts as lost; default 2 s
	OnError      func(operation string, err error) // after each call that failed or was refused; must be quick
	OnSubscribed func(linked bool)                 // after each change of Linked; must be quick and must not call the caches
}

// Shared is what the caches of a node have in common: the second level, bounded in time and behind a breaker, and word
// from the other nodes. Run makes it work; before, and after, nothing is heard.
type Shared struct {
	level        Level
	opts         SharedOptions
	self         string // tells its own notices from others'
	subscription subscription
	pending      pendingInvalidations
	calls        latency
	errors       atomic.Uint64
	mu           struct {
		sync.RWMutex
		members map[string]member // one for each cache of the node
	}
}

// cacheHandle is a cache as it hears of invalidations.
type cacheHandle interface {
	apply(n invalidation)
	dropAll()
}

type member struct {
	cacheHandle
	generations time.Duration // how long its generations are kept in the level; zero: it has no values there
}

// NewShared joins a node to the others through a level.
func NewShared(level Level, o SharedOptions) *Shared {
	for _, d := range []struct {
		value  *time.Duration
		normal time.Duration
	}{{&o.Timeout, 50 * time.Millisecond}, {&o.Heartbeat, 500 * time.Millisecond}, {&o.Silence, 2 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if o.Breaker == nil {
		o.Breaker = noBreaker{}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	if o.OnSubscribed == nil {
		o.OnSubscribed = func(bool) {}
	}
	s := &Shared{level: level, opts: o, self: rand.Text()}
	s.mu.members = map[string]member{}
	s.subscription.dropAll, s.subscription.changed = s.dropAll, o.OnSubscribed
	return s
}

// noBreaker is no breaker.
type noBreaker struct{}

func (noBreaker) Do(call func() error) error { return call() }

// register makes a cache hear.
func (s *Shared) register(name string, m member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.mu.members[name]; twice || strings.Contains(name, ":") {
		panic("cache " + name + ": its name has a colon, or is another's too")
	}
	s.mu.members[name] = m
}

func (s *Shared) member(name string) (m member, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, known = s.mu.members[name]
	return m, known
}

// dropAll drops the first level of every cache.
func (s *Shared) dropAll() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.mu.members {
		m.dropAll()
	}
}

// Subscribed tells whether the other nodes' invalidations are heard.
func (s *Shared) Subscribed() bool { return s.subscription.up.Load() }

// Stats reads the counts.
func (s *Shared) Stats() SharedStats {
	return SharedStats{Subscribed: s.Subscribed(), Lost: s.subscription.losses.Load(), Calls: s.calls.read(), Errors: s.errors.Load(), Pending: s.pending.total()}
}

// call does one call of the level. Who asked may leave: others wait for it too.
func (s *Shared) call(ctx context.Context, operation string, call func(context.Context) error) error {
	err := s.opts.Breaker.Do(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
		defer cancel()
		begun := time.Now()
		err := call(ctx)
		s.calls.add(time.Since(begun))
		return err
	})
	if err != nil {
		s.errors.Add(1)
		s.opts.OnError(operation, err)
	}
	return err
}

var errLevelWrongCount = errors.New("the level answered for another number of keys")

// get reads values, current reads generations.
func (s *Shared) get(ctx context.Context, keys []string) ([][]byte, error) {
	return s.read(ctx, keys, s.level.GetMany)
}

func (s *Shared) current(ctx context.Context, keys []string) ([][]byte, error) {
	return s.read(ctx, keys, s.level.Current)
}

func (s *Shared) read(ctx context.Context, keys []string, from func(context.Context, []string) ([][]byte, error)) (values [][]byte, err error) {
	err = s.call(ctx, "read the shared cache", func(ctx context.Context) (err error) {
		if values, err = from(ctx, keys); err == nil && len(values) != len(keys) {
			err = errLevelWrongCount
		}
		return err
	})
	return values, err
}

func (s *Shared) set(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error {
	return s.call(ctx, "write the shared cache", func(ctx context.Context) error { return s.level.SetMany(ctx, keys, values, ttls) })
}

func (s *Shared) publish(ctx context.Context, n invalidation) error {
	n.From = s.self
	return s.call(ctx, "publish to the other caches", func(ctx context.Context) error { return s.level.Publish(ctx, n.text()) })
}

// Run listens to the other nodes, and tells them what is owed, until ctx ends. It returns nil.
func (s *Shared) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { s.listen(ctx); return nil })
	group.Go(func() error { s.heartbeat(ctx); return nil })
	err := group.Wait()
	s.subscription.lost()
	return err
}

// listen subscribes for as long as the node lives.
func (s *Shared) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.level.Subscribe(ctx, s.handleText, s.subscription.lost)
		s.subscription.lost()
		if ctx.Err() != nil {
			return
		}
		s.opts.OnError("subscribe to the other caches", err)
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// handleText takes a text. Any text shows that the subscription works; one that cannot be read comes from another version, and
// may make anything invalid.
func (s *Shared) handleText(text string) {
	s.subscription.textReceived()
	n, ok := parseInvalidation(text)
	if !ok {
		s.dropAll()
		return
	}
	if m, known := s.member(n.Cache); known && n.From != s.self {
		m.apply(n)
	}
}

// heartbeat breaks silences, watches them, and pays debts. Nodes look at random times, so that one of them breaks a silence and
// the others hear it before they would.
func (s *Shared) heartbeat(ctx context.Context) {
	for ctx.Err() == nil {
		quiet := s.subscription.silence()
		if quiet >= s.opts.Silence {
			s.subscription.lostIfUp()
		}
		if quiet >= s.opts.Heartbeat {
			_ = s.publish(ctx, invalidation{}) // reported; the next beat tries again
		}
		s.retryPending(ctx)
		pause(ctx, jittered(s.opts.Heartbeat, 0.5))
	}
}
