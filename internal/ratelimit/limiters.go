package ratelimit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// usageStore counts the messages of each business and day, over all nodes.
type usageStore interface {
	AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error)
	Usage(ctx context.Context, business esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error)
}

// Shared holds the buckets that all nodes share.
type Shared interface {
	// Take takes n tokens from the bucket of a key, or none if it holds fewer. The field Full of the result is unused.
	Take(ctx context.Context, key string, rate float64, burst, n int) (flow.Decision, error)
}

// Options configure Limiters. Plan and Usage are required; the zero value of any other field selects its default.
type Options struct {
	Plan    func(name string) *esh3ar.Plan // returns the plan in force, the same pointer until it changes; must not block
	Usage   usageStore
	Shared  Shared                            // nil if this node counts alone
	Nodes   func() int                        // number of live nodes, including this one; default 1
	Every   time.Duration                     // time between two additions to the daily usage; default 5 s
	Timeout time.Duration                     // limit of one call of Shared; default 100 ms
	OnError func(operation string, err error) // called after each failed call; must not block
}

// Limiters holds one Limiter per active business.
type Limiters struct {
	opts         Options
	epoch        time.Time // origin of the limiters' nanosecond clock, which is monotonic
	shards       [shards]shard
	prefetches   errgroup.Group // background refills; when maxPrefetches are running, the refill happens when it is needed
	pendingUsage struct {
		sync.Mutex
		entries map[usageKey]esh3ar.Usage // of days that ended before they were added
	} // usage of past days that is not stored yet
}

// usageKey identifies one daily counter.
type usageKey struct {
	business esh3ar.BusinessID
	day      esh3ar.Day
}

// shards is the number of lock shards, so that callers of different businesses rarely contend.
const shards = 64

type shard struct {
	sync.RWMutex
	limiters map[esh3ar.BusinessID]*Limiter
}

// maxPrefetches bounds the refills that run in the background.
const maxPrefetches = 64

// NewLimiters returns an empty set of limiters. Usage is stored while Run runs.
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

// For returns the limiter of a business under the named plan, with that plan's current limits. Use it for one call and do not keep
// it: idle limiters are dropped.
func (b *Limiters) For(business esh3ar.BusinessID, plan string) *Limiter {
	now := b.nanoseconds(time.Now())
	s := &b.shards[business.UUID[len(business.UUID)-1]%shards]
	s.RLock()
	a := s.limiters[business]
	if a != nil {
		a.lastUsed.Store(now) // under the shard's lock, so that it is not dropped in between
	}
	s.RUnlock()
	if a == nil {
		s.Lock()
		a = s.limiters[business] // another call may have created it
		if a == nil {
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

// Run stores usage at every interval until ctx ends, and once more at the end. It returns nil.
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

// nanoseconds converts a time to the limiters' clock.
func (b *Limiters) nanoseconds(now time.Time) int64 { return int64(now.Sub(b.epoch)) }
