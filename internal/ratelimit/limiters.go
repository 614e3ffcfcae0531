package ratelimit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// usageStore counts days for all nodes.
type usageStore interface {
	AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error)
	Usage(ctx context.Context, business esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error)
}

// Shared are buckets that all nodes share.
type Shared interface {
	// Take takes n from the bucket of a key, or nothing where there is less. Full of its answer means nothing.
	Take(ctx context.Context, key string, rate float64, burst, n int) (flow.Taken, error)
}

// Options make a Book; Plan and Usage must be given, the zero value of another field means its default.
type Options struct {
	Plan    func(name string) *esh3ar.Plan // in force; the same pointer while it does not change; must be quick
	Usage   usageStore
	Shared  Shared                            // nil: this node counts alone
	Nodes   func() int                        // that live, this one too; default one
	Every   time.Duration                     // between additions to the day; default 5 s
	Timeout time.Duration                     // of a question to the shared bucket; default 100 ms
	OnError func(operation string, err error) // after each question that failed; must be quick
}

// Limiters has an account for each business that calls.
type Limiters struct {
	opts         Options
	epoch        time.Time // the accounts count nanoseconds from here, on the clock that never goes back
	shards       [shards]shard
	prefetches   errgroup.Group // questions ahead of need, of Run's; what finds no room is asked when it is needed
	pendingUsage struct {
		sync.Mutex
		entries map[usageKey]esh3ar.Usage // of days that ended before they were added
	}
}

// usageKey names what is counted together.
type usageKey struct {
	business esh3ar.BusinessID
	day      esh3ar.Day
}

// shards keep callers of different businesses out of each other's way.
const shards = 64

type shard struct {
	sync.RWMutex
	limiters map[esh3ar.BusinessID]*Limiter
}

// maxPrefetches bounds the questions ahead of need that run at once.
const maxPrefetches = 64

// NewLimiters makes a book; Run keeps it.
func NewLimiters(o Options) *Limiters {
	if o.Nodes == nil {
		o.Nodes = func() int { return 1 }
	}
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 100 * time.Millisecond
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	b := &Limiters{opts: o, epoch: time.Now()}
	b.pendingUsage.entries = map[usageKey]esh3ar.Usage{}
	b.prefetches.SetLimit(maxPrefetches)
	for i := range b.shards {
		b.shards[i].limiters = map[esh3ar.BusinessID]*Limiter{}
	}
	return b
}

// For is the account of a business under the plan of a name, as it is now. It is for a call that begins, not to be kept.
func (b *Limiters) For(business esh3ar.BusinessID, plan string) *Limiter {
	now := b.nanoseconds(time.Now())
	s := &b.shards[business.UUID[len(business.UUID)-1]%shards]
	s.RLock()
	a := s.limiters[business]
	if a != nil {
		a.lastUsed.Store(now) // under the lock, so that it is not dropped at this moment
	}
	s.RUnlock()
	if a == nil {
		s.Lock()
		if a = s.limiters[business]; a == nil {
			a = &Limiter{limiters: b, business: business}
			s.limiters[business] = a
		}
		a.lastUsed.Store(now)
		s.Unlock()
	}
	if p := b.opts.Plan(plan); a.plan.Load().planOrNil() != p {
		a.setPlan(p)
	}
	return a
}

// Run adds up days until ctx ends, and then once more.
func (b *Limiters) Run(ctx context.Context) error {
	tick := time.NewTicker(b.opts.Every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			b.flush(ctx)
		}
	}
	_ = b.prefetches.Wait() // always nil
	b.flush(context.WithoutCancel(ctx))
	return nil
}

// nanoseconds is a time on the book's clock.
func (b *Limiters) nanoseconds(now time.Time) int64 { return int64(now.Sub(b.epoch)) }
