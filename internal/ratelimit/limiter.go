package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// Limiter enforces the plan of one business on this node.
type Limiter struct {
	limiters *Limiters
	business esh3ar.BusinessID
	plan     atomic.Pointer[compiledPlan]
	lastUsed atomic.Int64 // time of the last call of For
	mu       struct {
		sync.Mutex
		bucketFullAt  int64 // state of this node's own bucket: when it will be full
		calls         int   // calls in progress
		repeatsFullAt int64 // state of this node's bucket for repeated calls: when it will be full
		lease         lease
		day           day
		adding        bool   // an addition to the store is in progress
		additions     uint64 // number of additions that have begun or ended
	}
}

// setPlan replaces the plan. The bucket keeps its level, up to the new burst.
func (a *Limiter) setPlan(p *esh3ar.Plan) {
	t := compilePlan(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.plan.Swap(t); old != nil {
		a.mu.bucketFullAt = t.quota.ConvertState(old.quota, a.mu.bucketFullAt, a.limiters.nanoseconds(time.Now()))
		a.mu.lease.forget()
	}
}

// Plan returns the plan in force.
func (a *Limiter) Plan() *esh3ar.Plan { return a.plan.Load().plan }

// Policy returns the value of the RateLimit-Policy header. The caller must not modify it.
func (a *Limiter) Policy() []string { return a.plan.Load().policy }

// Enter begins a call. It returns RateLimited if the plan's limit of concurrent calls is reached. Every successful Enter must be
// followed by Leave.
func (a *Limiter) Enter() error {
	most := a.plan.Load().plan.Concurrent
	a.mu.Lock()
	defer a.mu.Unlock()
	if most > 0 && a.mu.calls >= most {
		return &esh3ar.Error{
			Code: esh3ar.RateLimited, Text: fmt.Sprintf("%d calls are under way, and the plan allows no more at once", most), RetryAfter: time.Second,
		}
	}
	a.mu.calls++
	return nil
}

// Repeats counts n calls that repeat earlier ones, or only checks if n is 0. It returns RateLimited if there are more of them than
// the plan allows new messages. Repeated calls cost nothing else, because the original call was charged.
func (a *Limiter) Repeats(now time.Time, n int) error {
	plan := a.plan.Load().plan
	q := flow.NewQuota(max(plan.Rate, minRepeatRate), max(plan.Burst, minRepeatBurst))
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := q.Take(a.mu.repeatsFullAt, a.limiters.nanoseconds(now), max(n, 1))
	if !taken.Allowed {
		return &esh3ar.Error{Code: esh3ar.RateLimited, Text: "too many calls that repeat an idempotency key", RetryAfter: taken.RetryAfter}
	}
	if n > 0 {
		a.mu.repeatsFullAt = taken.Full
	}
	return nil
}

// Minimum limits for repeated calls, whatever the plan says: a caller that retries must get its answer.
const (
	minRepeatRate  = 10 // calls per second, on each node
	minRepeatBurst = 100
)

// Leave ends a call that took taken messages, of which accepted were stored.
func (a *Limiter) Leave(taken, accepted int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.calls--
	a.mu.day.reserved -= int64(taken)
	a.mu.day.accepted += int64(accepted)
}

// decision is the result of an attempt to take messages.
type decision int

const (
	granted decision = iota
	refused
	askBucket // the shared bucket must be asked first
	askStore  // the store must be asked for the day's usage before this node knew the business
)

// Take takes n messages, at most the plan's burst, for a call that has entered. It returns RateLimited if the plan does not allow
// them.
func (a *Limiter) Take(ctx context.Context, now time.Time, n int) (Grant, error) {
	for {
		a.mu.Lock()
		g, said, err := a.takeLocked(now, n)
		switch said {
		case granted:
			a.mu.day.reserved += int64(n)
		case refused:
			a.mu.day.refused += int64(n)
		case askBucket, askStore:
		}
		a.mu.Unlock()
		switch said {
		case granted, refused:
			return g, err
		case askBucket:
			a.refillOrWait(ctx, n)
		case askStore:
			a.readDay(ctx, esh3ar.DayOf(esh3ar.TimeOf(now)))
		}
		now = time.Now()
	}
}

// Peek returns what could be taken now, as far as this node knows. It does not block.
func (a *Limiter) Peek(now time.Time) Grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.plan.Load()
	g := a.dayLocked(t, now)
	a.rateLocked(t, &g, a.limiters.nanoseconds(now), 0)
	return g
}

// takeLocked checks the daily quota first, so that a message over that quota costs no tokens.
func (a *Limiter) takeLocked(now time.Time, n int) (g Grant, said decision, err error) {
	t := a.plan.Load()
	g = a.dayLocked(t, now)
	if g.Daily && !a.mu.day.known {
		return g, askStore, nil
	}
	at := a.limiters.nanoseconds(now)
	if g.Daily && g.DayLeft < int64(n) {
		a.rateLocked(t, &g, at, 0)
		return g, refused, &esh3ar.Error{
			Code: esh3ar.RateLimited, RetryAfter: g.DayReset,
			Text: fmt.Sprintf("the plan's %d messages of today are used but for %d", t.plan.DailyQuota, g.DayLeft),
		}
	}
	said, wait := a.rateLocked(t, &g, at, n)
	switch said {
	case granted:
		if g.Daily {
			g.DayLeft -= int64(n)
		}
	case refused:
		err = &esh3ar.Error{
			Code: esh3ar.RateLimited, RetryAfter: wait,
			Text: fmt.Sprintf("over the plan's %g messages per second with a burst of %d", t.plan.Rate, t.plan.Burst),
		}
	case askBucket, askStore:
	}
	return g, said, err
}

// rateLocked takes n tokens, or only looks if n is 0, from the lease of the shared bucket or from this node's own bucket.
func (a *Limiter) rateLocked(t *compiledPlan, g *Grant, at int64, n int) (said decision, wait time.Duration) {
	if a.limiters.opts.Shared != nil && at >= a.mu.lease.fallbackUntil {
		return a.takeLeaseLocked(t, g, at, n)
	}
	q := t.quota
	if a.limiters.opts.Shared != nil {
		q = q.Share(a.limiters.opts.Nodes())
	}
	taken := q.Take(a.mu.bucketFullAt, at, n)
	a.mu.bucketFullAt = taken.Full
	g.Remaining = taken.Remaining
	g.Reset = taken.Reset
	if !taken.Allowed {
		return refused, taken.RetryAfter
	}
	if a.limiters.opts.Shared != nil {
		a.mu.lease.fallbackUsed += n
	}
	return granted, 0
}
