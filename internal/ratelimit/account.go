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

// Account is what one business has used.
type Account struct {
	book     *Book
	business esh3ar.BusinessID
	terms    atomic.Pointer[terms]
	touched  atomic.Int64 // when somebody last asked for it
	mu       struct {
		sync.Mutex
		full      int64 // state of this node's own bucket
		calls     int   // at once
		repeats   int64 // state of this node's bucket of repeated calls
		lease     lease
		day       day
		adding    bool   // to the store: an addition is on its way
		additions uint64 // have begun or ended
	}
}

// change puts another plan in force. The bucket keeps what is in it, as far as the new one holds it.
func (a *Account) change(p *esh3ar.Plan) {
	t := newTerms(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.terms.Swap(t); old != nil {
		a.mu.full = t.quota.Fit(old.quota, a.mu.full, a.book.nanoseconds(time.Now()))
		a.mu.lease.forget()
	}
}

// Plan is the plan in force.
func (a *Account) Plan() *esh3ar.Plan { return a.terms.Load().plan }

// Policy is the value of the header RateLimit-Policy; it must not be written to.
func (a *Account) Policy() []string { return a.terms.Load().policy }

// Enter begins a call, or answers RateLimited where too many are under way. Leave ends one that began.
func (a *Account) Enter() error {
	most := a.terms.Load().plan.Concurrent
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

// Repeats counts n calls that repeat earlier ones, or looks where n is 0, and returns RateLimited if there are more of them
// than the plan allows new messages. They cost nothing else: what they repeat was paid for.
func (a *Account) Repeats(now time.Time, n int) error {
	plan := a.terms.Load().plan
	q := flow.QuotaOf(max(plan.Rate, minRepeatRate), max(plan.Burst, minRepeatBurst))
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := q.Take(a.mu.repeats, a.book.nanoseconds(now), max(n, 1))
	if !taken.Allowed {
		return &esh3ar.Error{Code: esh3ar.RateLimited, Text: "too many calls that repeat an idempotency key", RetryAfter: taken.RetryAfter}
	}
	if n > 0 {
		a.mu.repeats = taken.Full
	}
	return nil
}

// A business may repeat calls at this rate whatever its plan says: a caller that retries must get its answer.
const (
	minRepeatRate  = 10 // calls per second, on each node
	minRepeatBurst = 100
)

// Leave ends a call: taken is what it took, accepted how many of these messages are in the store now.
func (a *Account) Leave(taken, accepted int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.calls--
	a.mu.day.reserved -= int64(taken)
	a.mu.day.accepted += int64(accepted)
}

// word is what trying to take led to.
type word int

const (
	granted word = iota
	refused
	askBucket // the shared bucket has to be asked
	askStore  // what the day has seen before this node's start is not known
)

// Take takes n messages for a call that has entered, at most the plan's burst, or answers RateLimited.
func (a *Account) Take(ctx context.Context, now time.Time, n int) (Grant, error) {
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
			a.ask(ctx, n)
		case askStore:
			a.learn(ctx, esh3ar.DayOf(esh3ar.TimeOf(now)))
		}
		now = time.Now()
	}
}

// Look is what could be taken, without asking anybody.
func (a *Account) Look(now time.Time) Grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.terms.Load()
	g := a.dayLocked(t, now)
	a.rateLocked(t, &g, a.book.nanoseconds(now), 0)
	return g
}

// takeLocked asks the day first: what it refuses costs nothing of the rate.
func (a *Account) takeLocked(now time.Time, n int) (g Grant, said word, err error) {
	t := a.terms.Load()
	g = a.dayLocked(t, now)
	if g.Daily && !a.mu.day.known {
		return g, askStore, nil
	}
	at := a.book.nanoseconds(now)
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

// rateLocked takes n, or looks where n is 0, from the shared bucket or this node's own.
func (a *Account) rateLocked(t *terms, g *Grant, at int64, n int) (said word, wait time.Duration) {
	if a.book.opts.Shared != nil && at >= a.mu.lease.alone {
		return a.leaseLocked(t, g, at, n)
	}
	q := t.quota
	if a.book.opts.Shared != nil {
		q = q.Share(a.book.opts.Nodes())
	}
	taken := q.Take(a.mu.full, at, n)
	a.mu.full, g.Remaining, g.Reset = taken.Full, taken.Remaining, taken.Reset
	if !taken.Allowed {
		return refused, taken.RetryAfter
	}
	if a.book.opts.Shared != nil {
		a.mu.lease.lone += n
	}
	return granted, 0
}
