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

// breaker is a circuit breaker around the level.
type breaker interface {
	Do(call func() error) error
}

// SharedOptions configure a Shared; the zero value of a field selects its default.
type SharedOptions struct {
	Breaker      breaker                           // nil for none
	Timeout      time.Duration                     // limit of one call of the level; default 50 ms, about a hundred times its usual duration
	Heartbeat    time.Duration                     // after this long without a text, a node publishes one; default 500 ms
	Silence      time.Duration                     // after this long without a text, the subscription counts as lost; default 2 s
	OnError      func(operation string, err error) // called after each call that failed or was refused; must not block
	OnSubscribed func(linked bool)                 // called after each change of Subscribed; must not block and must not call the caches
}

// Shared connects the caches of a node to the second level, with a timeout and a circuit breaker, and to the invalidations of the
// other nodes. It receives invalidations only while Run runs.
type Shared struct {
	level        Level
	opts         SharedOptions
	self         string // random id of this node's Shared, to recognize its own invalidations
	subscription subscription
	pending      pendingInvalidations
	calls        latency
	errors       atomic.Uint64
	mu           struct {
		sync.RWMutex
		members map[string]member // by name
	}
}

// cacheHandle is a cache as Shared uses it.
type cacheHandle interface {
	apply(n invalidation)
	dropAll()
}

type member struct {
	cacheHandle
	generations time.Duration // how long its generations are stored in the level; zero if it has no values there
}

// NewShared returns a Shared that uses level.
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

// noBreaker calls the level unconditionally.
type noBreaker struct{}

func (noBreaker) Do(call func() error) error { return call() }

// register adds a cache to those that receive invalidations.
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

// Subscribed reports whether invalidations of other nodes are received.
func (s *Shared) Subscribed() bool { return s.subscription.up.Load() }

// Stats returns the counters.
func (s *Shared) Stats() SharedStats {
	return SharedStats{Subscribed: s.Subscribed(), Lost: s.subscription.losses.Load(), Calls: s.calls.read(), Errors: s.errors.Load(), Pending: s.pending.total()}
}

// call performs one call of the level. It is not canceled with ctx, because other callers wait for its result too.
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

// get reads values; current reads generations.
func (s *Shared) get(ctx context.Context, keys []string) ([][]byte, error) {
	return s.read(ctx, keys, s.level.GetMany)
}

func (s *Shared) current(ctx context.Context, keys []string) ([][]byte, error) {
	return s.read(ctx, keys, s.level.Current)
}

func (s *Shared) read(ctx context.Context, keys []string, from func(context.Context, []string) ([][]byte, error)) (values [][]byte, err error) {
	err = s.call(ctx, "read the shared cache", func(ctx context.Context) (err error) {
		values, err = from(ctx, keys)
		if err == nil && len(values) != len(keys) {
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

// Run receives invalidations of other nodes and retries pending ones until ctx ends. It returns nil.
func (s *Shared) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { s.listen(ctx); return nil })
	group.Go(func() error { s.heartbeat(ctx); return nil })
	err := group.Wait()
	s.subscription.lost()
	return err
}

// listen subscribes again and again until ctx ends.
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

// handleText handles a text of the subscription. Every text proves that the subscription works. A text that cannot be parsed comes
// from another version and may invalidate anything, so it drops the first levels.
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

// heartbeat publishes a text when the subscription is silent, declares it lost when the silence is too long, and retries pending
// invalidations. The pauses are random, so that usually one node breaks a silence before the others notice it.
func (s *Shared) heartbeat(ctx context.Context) {
	for ctx.Err() == nil {
		quiet := s.subscription.silence()
		if quiet >= s.opts.Silence {
			s.subscription.lostIfUp()
		}
		if quiet >= s.opts.Heartbeat {
			_ = s.publish(ctx, invalidation{}) // the error is reported; the next heartbeat tries again
		}
		s.retryPending(ctx)
		pause(ctx, jittered(s.opts.Heartbeat, 0.5))
	}
}
