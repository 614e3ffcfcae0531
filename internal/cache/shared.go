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
	Breaker breaker                           // default: none
	Timeout time.Duration                     // of one call of the level; default 50 ms, a hundred times what it takes
	Beat    time.Duration                     // after this long without a text a node says something, so that it can be heard; default 500 ms
	Silence time.Duration                     // after this long without a text the subscription counts as lost; default 2 s
	OnError func(operation string, err error) // after each call that failed or was refused; must be quick
	OnLink  func(linked bool)                 // after each change of Linked; must be quick and must not call the caches
}

// Shared is what the caches of a node have in common: the second level, bounded in time and behind a breaker, and word
// from the other nodes. Run makes it work; before, and after, nothing is heard.
type Shared struct {
	level Level
	opts  SharedOptions
	self  string // tells its own notices from others'
	link  link
	debts ledger
	calls latency
	fails atomic.Uint64
	mu    struct {
		sync.RWMutex
		members map[string]member // one for each cache of the node
	}
}

// holder is a cache as it hears of invalidations.
type holder interface {
	apply(n notice)
	forget()
}

type member struct {
	holder
	generations time.Duration // how long its generations are kept in the level; zero: it has no values there
}

// NewShared joins a node to the others through a level.
func NewShared(level Level, o SharedOptions) *Shared {
	for _, d := range []struct {
		value  *time.Duration
		normal time.Duration
	}{{&o.Timeout, 50 * time.Millisecond}, {&o.Beat, 500 * time.Millisecond}, {&o.Silence, 2 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if o.Breaker == nil {
		o.Breaker = always{}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	if o.OnLink == nil {
		o.OnLink = func(bool) {}
	}
	s := &Shared{level: level, opts: o, self: rand.Text()}
	s.mu.members = map[string]member{}
	s.link.forget, s.link.changed = s.forget, o.OnLink
	return s
}

// always is no breaker.
type always struct{}

func (always) Do(call func() error) error { return call() }

// join makes a cache hear.
func (s *Shared) join(name string, m member) {
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

// forget drops the first level of every cache.
func (s *Shared) forget() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.mu.members {
		m.forget()
	}
}

// Linked tells whether the other nodes' invalidations are heard.
func (s *Shared) Linked() bool { return s.link.up.Load() }

// Stats reads the counts.
func (s *Shared) Stats() SharedStats {
	return SharedStats{Linked: s.Linked(), Lost: s.link.lost.Load(), Calls: s.calls.read(), Errors: s.fails.Load(), Owed: s.debts.size()}
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
		s.fails.Add(1)
		s.opts.OnError(operation, err)
	}
	return err
}

var errLevelShort = errors.New("the level answered for another number of keys")

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
			err = errLevelShort
		}
		return err
	})
	return values, err
}

func (s *Shared) set(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error {
	return s.call(ctx, "write the shared cache", func(ctx context.Context) error { return s.level.SetMany(ctx, keys, values, ttls) })
}

func (s *Shared) publish(ctx context.Context, n notice) error {
	n.From = s.self
	return s.call(ctx, "publish to the other caches", func(ctx context.Context) error { return s.level.Publish(ctx, n.text()) })
}

// Run listens to the other nodes, and tells them what is owed, until ctx ends. It returns nil.
func (s *Shared) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { s.listen(ctx); return nil })
	group.Go(func() error { s.beat(ctx); return nil })
	err := group.Wait()
	s.link.fall()
	return err
}

// listen subscribes for as long as the node lives.
func (s *Shared) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.level.Subscribe(ctx, s.hear, s.link.fall)
		s.link.fall()
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

// hear takes a text. Any text shows that the subscription works; one that cannot be read comes from another version, and
// may make anything invalid.
func (s *Shared) hear(text string) {
	s.link.rise()
	n, ok := parseNotice(text)
	if !ok {
		s.forget()
		return
	}
	if m, known := s.member(n.Cache); known && n.From != s.self {
		m.apply(n)
	}
}

// beat breaks silences, watches them, and pays debts. Nodes look at random times, so that one of them breaks a silence and
// the others hear it before they would.
func (s *Shared) beat(ctx context.Context) {
	for ctx.Err() == nil {
		quiet := s.link.quiet()
		if quiet >= s.opts.Silence {
			s.link.silent()
		}
		if quiet >= s.opts.Beat {
			_ = s.publish(ctx, notice{}) // reported; the next beat tries again
		}
		s.repay(ctx)
		pause(ctx, jittered(s.opts.Beat, 0.5))
	}
}
