package ratelimit_test

import (
	"cmp"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// slowStore is a usage store whose additions take time and then return a result that was set before they began.
type slowStore struct {
	*ledger
	takes time.Duration
	err   error // error of additions
	adds  bool  // additions are applied although they return the error
}

func (l *slowStore) AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error) {
	l.mu.Lock()
	takes := l.takes
	err := l.err
	adds := l.adds
	l.mu.Unlock()
	time.Sleep(takes)
	if err != nil && !adds {
		return nil, err
	}
	sums, failed := l.ledger.AddUsage(ctx, entries)
	return sums, cmp.Or(err, failed)
}

// will sets the duration and the result of additions that begin from now on.
func (l *slowStore) will(takes time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes, l.err = takes, err
}

func today() esh3ar.Day { return esh3ar.DayOf(esh3ar.TimeOf(time.Now())) }

// expectRefused sends a call that must be refused.
func (r *fixture) expectRefused(t *testing.T, n int) {
	t.Helper()
	if _, err := r.send(t.Context(), n); esh3ar.CodeOf(err) != esh3ar.RateLimited {
		t.Errorf("%d more are taken: %v", n, err)
	}
}

func TestLimiter_UsageInAddition_CountsAgainstTheDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{takes: 3 * time.Second}
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 100, DailyQuota: 12}, func(o *ratelimit.Options) { o.Every, o.Usage = 5*time.Second, slow })
		slow.ledger = r.ledger
		defer run(r)()
		if _, err := r.send(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		for range 4 { // before, during and after the addition
			r.expectRefused(t, 3)
			time.Sleep(3 * time.Second)
		}
		if got := r.For(r.id, "").Policy()[0]; !strings.Contains(got, `,"day";q=12;w=86400`) {
			t.Error(got)
		}
	})
}

// TestLimiter_OverdrawnDay_HasZeroLeft: the rest of an exceeded quota is zero, not negative.
func TestLimiter_OverdrawnDay_HasZeroLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 10, DailyQuota: 12}, nil)
		r.ledger.days[today()] = esh3ar.Usage{Business: r.id, Day: today(), Messages: 40} // admitted by all nodes at once, or under a larger plan
		g, err := r.send(t.Context(), 1)
		wantLimited(t, err, 24*time.Hour)
		if g.DayLeft != 0 {
			t.Errorf("%d left", g.DayLeft)
		}
	})
}

// TestLimiter_CallOverMidnight_CountsOnTheNewDay: it counts on the day on which it ends, and reserves nothing afterwards.
func TestLimiter_CallOverMidnight_CountsOnTheNewDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 10, DailyQuota: 12}, nil)
		time.Sleep(24*time.Hour - time.Second)
		a := r.For(r.id, "")
		if err := a.Enter(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Take(t.Context(), time.Now(), 5); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if g, err := r.send(t.Context(), 1); err != nil || g.DayLeft != 6 {
			t.Errorf("%+v, %v: five of the day are reserved", g, err)
		}
		a.Leave(5, 5)
		if g := a.Peek(time.Now()); g.DayLeft != 6 {
			t.Errorf("%+v", g)
		}
	})
}

// TestLimiters_DayWithOnlyRefusals_IsStored also if the day has ended and the store was unavailable.
func TestLimiters_DayWithOnlyRefusals_IsStored(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"over midnight": 24 * time.Hour, "for long": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newFixture(esh3ar.Plan{Rate: 100, Burst: 10, DailyQuota: 1}, nil)
			stop, day := run(r), today()
			r.ledger.fail(esh3ar.Errorf(esh3ar.StoreUnavailable, "away"))
			r.expectRefused(t, 3)
			time.Sleep(away)
			r.For(r.id, "").Peek(time.Now())
			r.ledger.fail(nil)
			stop()
			if u := r.ledger.of(day); u.Refused != 3 || u.Messages != 0 {
				t.Errorf("%s: %+v", name, u)
			}
		})
	}
}

func TestLimiters_AdditionFailsOverMidnight_RetriedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{}
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 100}, func(o *ratelimit.Options) { o.Every, o.Usage = 10*time.Second, slow })
		slow.ledger = r.ledger
		day := today()
		time.Sleep(24*time.Hour - 12*time.Second)
		stop := run(r)
		slow.will(4*time.Second, esh3ar.Errorf(esh3ar.StoreUnavailable, "away"))
		send := func(n int) {
			t.Helper()
			if _, err := r.send(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
		send(3)
		time.Sleep(11 * time.Second) // the addition is in progress
		send(2)
		time.Sleep(2 * time.Second)
		send(1) // counts on the next day
		slow.will(0, nil)
		time.Sleep(time.Hour)
		stop()
		if was, is := r.ledger.of(day), r.ledger.of(day+1); was.Messages != 5 || is.Messages != 1 {
			t.Errorf("%+v, %+v", was, is)
		}
	})
}

func TestLimiters_AdditionOutcomeUnknown_NotRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		odd := &slowStore{err: esh3ar.Errorf(esh3ar.OutcomeUnknown, "the connection broke"), adds: true}
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 100}, func(o *ratelimit.Options) { o.Usage = odd })
		odd.ledger = r.ledger
		stop := run(r)
		if _, err := r.send(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		odd.will(0, nil)
		time.Sleep(time.Minute)
		stop()
		if u := r.ledger.of(today()); u.Messages != 3 {
			t.Errorf("%+v", u)
		}
	})
}

// TestLimiters_IdleLimiter_IsDropped: a limiter without calls for ten minutes is dropped, unless its bucket is not full or a call
// is in progress.
func TestLimiters_IdleLimiter_IsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 1, Burst: 10, Concurrent: 1}, nil)
		defer run(r)()
		a := r.For(r.id, "")
		time.Sleep(11 * time.Minute)
		if r.For(r.id, "") == a {
			t.Error("it is kept for ever")
		}
		a = r.For(r.id, "")
		if err := a.Enter(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		if err := r.For(r.id, "").Enter(); err == nil {
			t.Error("a call that goes on for long is forgotten")
		}
		a.Leave(0, 0)
		r.plan.Store(&esh3ar.Plan{Rate: 0.001, Burst: 10})
		if _, err := r.send(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		r.expectRefused(t, 2)
	})
}

func TestLimiter_PlanChanges_BucketKeepsItsLevel(t *testing.T) {
	t.Parallel()
	for name, shared := range map[string]bool{"alone": false, "shared": true} {
		synctest.Test(t, func(t *testing.T) {
			r := newFixture(esh3ar.Plan{Rate: 0.01, Burst: 5}, func(o *ratelimit.Options) {
				if shared {
					o.Shared = &sharedBucket{began: time.Now()}
				}
			})
			defer run(r)()
			if _, err := r.send(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			r.expectRefused(t, 1)
			r.plan.Store(&esh3ar.Plan{Rate: 0.01, Burst: 5})
			r.expectRefused(t, 1)
			r.plan.Store(&esh3ar.Plan{Rate: 0.01, Burst: 10})
			if _, err := r.send(t.Context(), 5); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r.expectRefused(t, 1)
		})
	}
}

func TestLease_UnusedTokens_Expire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now()}
		share := func(o *ratelimit.Options) { o.Shared = w }
		plan := esh3ar.Plan{Rate: 1, Burst: 1000}
		a, b := newFixture(plan, share), newFixture(plan, share)
		defer run(a, b)()
		if _, err := a.send(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if g := a.For(a.id, "").Peek(time.Now()); g.Remaining != 1000 {
			t.Errorf("%d left of a bucket that is full again", g.Remaining)
		}
		if _, err := b.send(t.Context(), 1000); err != nil {
			t.Error(err)
		}
		a.expectRefused(t, 1)
	})
}

// TestLimiter_CallerCanceled_DoesNotDelayOthers covers a caller that is canceled during a refill, and a shared bucket that never
// answers.
func TestLimiter_CallerCanceled_DoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now()}
		var failed atomic.Int64
		r := newFixture(esh3ar.Plan{Rate: 1, Burst: 100}, func(o *ratelimit.Options) { o.Shared, o.OnError = w, func(string, error) { failed.Add(1) } })
		defer run(r)()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := r.send(gone, 1); err != nil || failed.Load() > 0 {
			t.Errorf("%v, %d questions failed", err, failed.Load())
		}
		w.mu.Lock()
		w.hangs = true
		w.mu.Unlock()
		began := time.Now()
		if _, err := r.send(t.Context(), 50); err != nil || time.Since(began) > 200*time.Millisecond || failed.Load() == 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
