package ratelimit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a usage store in memory that can be unavailable.
type ledger struct {
	mu   sync.Mutex
	days map[esh3ar.Day]esh3ar.Usage
	err  error
}

func (l *ledger) AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error) {
	var sums []esh3ar.Usage
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(ctx.Err(), l.err); err != nil {
		return nil, err
	}
	for _, e := range entries {
		sum := l.days[e.Day]
		e.Messages, e.Refused = e.Messages+sum.Messages, e.Refused+sum.Refused
		l.days[e.Day] = e
		sums = append(sums, e)
	}
	return sums, nil
}

func (l *ledger) Usage(ctx context.Context, _ esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error) {
	var days []esh3ar.Usage
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for d := first; d <= last && l.err == nil; d++ {
		if u, ok := l.days[d]; ok {
			days = append(days, u)
		}
	}
	return days, l.err
}

func (l *ledger) of(d esh3ar.Day) esh3ar.Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.days[d]
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// fixture is a set of limiters with one business whose plan can change.
type fixture struct {
	*ratelimit.Limiters
	plan   atomic.Pointer[esh3ar.Plan]
	ledger *ledger
	id     esh3ar.BusinessID
}

func newFixture(p esh3ar.Plan, change func(*ratelimit.Options)) *fixture {
	r := &fixture{ledger: &ledger{days: map[esh3ar.Day]esh3ar.Usage{}}, id: esh3ar.NewBusinessID()}
	r.plan.Store(&p)
	o := ratelimit.Options{Plan: func(string) *esh3ar.Plan { return r.plan.Load() }, Usage: r.ledger}
	if change != nil {
		change(&o)
	}
	r.Limiters = ratelimit.NewLimiters(o)
	return r
}

// run runs limiters until the returned function is called.
func run(books ...*fixture) func() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, r := range books {
		running.Go(func() { _ = r.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// send sends a whole call of n messages.
func (r *fixture) send(ctx context.Context, n int) (ratelimit.Grant, error) {
	a := r.For(r.id, "")
	if err := a.Enter(); err != nil {
		return ratelimit.Grant{}, err
	}
	g, err := a.Take(ctx, time.Now(), n)
	if err != nil {
		a.Leave(0, 0)
		return g, err
	}
	a.Leave(n, n)
	return g, nil
}

func wantLimited(t *testing.T, err error, retryAfter time.Duration) {
	t.Helper()
	var e *esh3ar.Error
	if !errors.As(err, &e) || e.Code != esh3ar.RateLimited || e.RetryAfter != retryAfter {
		t.Errorf("%v (%+v), want rate limited for %s", err, e, retryAfter)
	}
}

func TestLimiter_Take_EnforcesRateAndBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 2, Burst: 5}, nil)
		if g, err := r.send(t.Context(), 3); err != nil || g.Remaining != 2 || g.Reset != 1500*time.Millisecond {
			t.Errorf("%+v, %v", g, err)
		}
		_, err := r.send(t.Context(), 3)
		wantLimited(t, err, 500*time.Millisecond)
		time.Sleep(500 * time.Millisecond)
		g, err := r.send(t.Context(), 3)
		if err != nil || string(g.AppendLimits(nil)) != `"rate";r=0;t=3` {
			t.Errorf("%s, %v", g.AppendLimits(nil), err)
		}
		if got := r.For(r.id, "").Policy(); !slices.Equal(got, []string{`"rate";q=5;w=3`}) {
			t.Errorf("%q", got)
		}
		r.plan.Store(&esh3ar.Plan{Rate: 1000, Burst: 5}) // a faster plan, so that the empty bucket refills at once
		r.For(r.id, "")
		time.Sleep(5 * time.Millisecond)
		if _, err := r.send(t.Context(), 5); err != nil {
			t.Error(err)
		}
	})
}

func TestLimiter_Enter_LimitsConcurrentCalls(t *testing.T) {
	t.Parallel()
	r := newFixture(esh3ar.Plan{Rate: 1, Burst: 1, Concurrent: 2}, nil)
	a := r.For(r.id, "")
	for range 2 {
		if err := a.Enter(); err != nil {
			t.Fatal(err)
		}
	}
	wantLimited(t, a.Enter(), time.Second)
	a.Leave(0, 0)
	if err := a.Enter(); err != nil {
		t.Error(err)
	}
	if got := a.Policy()[0]; !strings.Contains(got, `"calls";q=2;qu="concurrent-requests"`) {
		t.Error(got)
	}
}

func TestLimiter_Take_EnforcesDailyQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble begins at midnight UTC
		r := newFixture(esh3ar.Plan{Rate: 100, Burst: 10, DailyQuota: 12}, nil)
		today := esh3ar.DayOf(esh3ar.TimeOf(time.Now()))
		r.ledger.days[today] = esh3ar.Usage{Business: r.id, Day: today, Messages: 4} // counted before this node started, or on another node
		stop := run(r)
		g, err := r.send(t.Context(), 6)
		if err != nil || g.DayLeft != 2 || g.DayReset != 24*time.Hour || string(g.AppendLimits(nil)) != `"rate";r=4;t=1,"day";r=2;t=86400` {
			t.Errorf("%s, %v", g.AppendLimits(nil), err)
		}
		_, err = r.send(t.Context(), 3)
		wantLimited(t, err, 24*time.Hour)
		r.sendUnaccepted(t, 2) // taken but not accepted, so it does not count
		time.Sleep(6 * time.Second)
		if u := r.ledger.of(today); u.Messages != 10 || u.Refused != 3 {
			t.Errorf("added up: %+v", u)
		}
		if _, err := r.send(t.Context(), 2); err != nil {
			t.Error(err)
		}
		days, err := r.Usage(t.Context(), r.For(r.id, ""), time.Now(), today-3)
		if err != nil || len(days) != 1 || days[0].Messages != 12 || days[0].Refused != 3 {
			t.Errorf("%+v, %v", days, err)
		}
		r.ledger.fail(esh3ar.Errorf(esh3ar.StoreUnavailable, "away"))
		time.Sleep(24 * time.Hour)
		if g, err := r.send(t.Context(), 1); err != nil || g.DayLeft != 11 {
			t.Errorf("the next day: %+v, %v", g, err)
		}
		r.ledger.fail(nil)
		stop()
		if was, is := r.ledger.of(today), r.ledger.of(today+1); was.Messages != 12 || is.Messages != 1 {
			t.Errorf("after the stop: %+v, %+v", was, is)
		}
	})
}

// sendUnaccepted sends a call whose messages are not accepted.
func (r *fixture) sendUnaccepted(t *testing.T, n int) {
	a := r.For(r.id, "")
	if err := a.Enter(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Take(t.Context(), time.Now(), n); err != nil {
		t.Error(err)
	}
	a.Leave(n, 0)
}

// sharedBucket is a bucket that nodes share. It counts calls, takes time, and can be unavailable.
type sharedBucket struct {
	mu    sync.Mutex
	began time.Time
	full  int64
	asked int
	away  bool
	hangs bool
}

func (w *sharedBucket) Take(ctx context.Context, _ string, rate float64, burst, n int) (flow.Decision, error) {
	time.Sleep(300 * time.Microsecond) // in fake time
	w.mu.Lock()
	hangs := w.hangs
	w.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return flow.Decision{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.away {
		return flow.Decision{}, errors.New("away")
	}
	t := flow.NewQuota(rate, burst).Take(w.full, int64(time.Since(w.began)), n)
	w.full = t.Full
	return t, nil
}

func (w *sharedBucket) set(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// TestLimiter_ThreeNodes_ShareTheRate: three nodes with more calls than the plan allows admit burst and rate together, not much
// less, and ask the shared bucket for few of the calls.
func TestLimiter_ThreeNodes_ShareTheRate(t *testing.T) {
	t.Parallel()
	for _, plan := range []esh3ar.Plan{{Rate: 1000, Burst: 500}, {Rate: 2000, Burst: 20}, {Rate: 5, Burst: 3}, {Rate: 5000, Burst: 5000}} {
		synctest.Test(t, func(t *testing.T) {
			w := &sharedBucket{began: time.Now()}
			nodes := make([]*fixture, 3)
			for i := range nodes {
				nodes[i] = newFixture(plan, func(o *ratelimit.Options) { o.Shared, o.Nodes = w, func() int { return 3 } })
			}
			defer run(nodes...)()
			const span = 4 * time.Second
			sent, through := flood(t, nodes, 2*plan.Rate, span)
			allowed := float64(plan.Burst) + plan.Rate*span.Seconds()
			if float64(through) > allowed+1 {
				t.Errorf("%+v: %d of %d came through, %g are allowed", plan, through, sent, allowed)
			}
			if float64(through) < 0.9*min(allowed, float64(sent)) {
				t.Errorf("%+v: only %d of %d came through, %g are allowed", plan, through, sent, allowed)
			}
			if asked := float64(w.asked); asked > float64(sent)/10 && plan.Burst > 100 { // chunks of a small burst are too small
				t.Errorf("%+v: %g questions for %d calls", plan, asked, sent)
			}
		})
	}
}

// flood sends calls to all nodes in turn, at a rate.
func flood(t *testing.T, nodes []*fixture, rate float64, span time.Duration) (sent, through int) {
	var calls sync.WaitGroup
	var passed atomic.Int64
	gap := time.Duration(float64(time.Second) / rate)
	for range int(span / gap) {
		r := nodes[sent%len(nodes)]
		sent++
		calls.Go(func() {
			_, err := r.send(t.Context(), 1)
			if err == nil {
				passed.Add(1)
			} else if esh3ar.CodeOf(err) != esh3ar.RateLimited {
				t.Error(err)
			}
		})
		time.Sleep(gap)
	}
	calls.Wait()
	return sent, int(passed.Load())
}

// TestLimiter_SharedBucketUnavailable_UsesNodeShare: no call waits for the unresponsive bucket.
func TestLimiter_SharedBucketUnavailable_UsesNodeShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now(), away: true}
		r := newFixture(esh3ar.Plan{Rate: 30, Burst: 30}, func(o *ratelimit.Options) { o.Shared, o.Nodes = w, func() int { return 3 } })
		defer run(r)()
		if _, through := flood(t, []*fixture{r}, 100, 10*time.Second); through < 105 || through > 115 {
			t.Errorf("%d came through in ten seconds, a third is 10 at once and 10 a second", through)
		}
		if w.asked > 12 {
			t.Errorf("asked %d times in ten seconds what does not answer", w.asked)
		}
		if _, err := r.send(t.Context(), 30); err == nil {
			t.Error("a batch as large as the whole burst came through an empty share")
		}
		time.Sleep(10 * time.Second)
		if _, err := r.send(t.Context(), 30); err != nil {
			t.Errorf("a batch as large as the whole burst, from a full share: %v", err)
		}
		w.set(false)
		time.Sleep(2 * time.Second)
		if _, through := flood(t, []*fixture{r}, 100, 10*time.Second); through < 300 || through > 330 {
			t.Errorf("%d came through when it answered again, want the whole", through)
		}
	})
}

// TestLimiter_FlappingSharedBucket_GrantsNoExtraBurst: nodes that fall back to their shares again and again admit no more than
// nodes that never do. One of three that does so alone admits its share while it is cut off.
func TestLimiter_FlappingSharedBucket_GrantsNoExtraBurst(t *testing.T) {
	t.Parallel()
	for _, plan := range []esh3ar.Plan{{Rate: 100, Burst: 300}, {Rate: 60, Burst: 60}, {Rate: 1000, Burst: 100}} {
		for _, cut := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				w := &sharedBucket{began: time.Now()}
				nodes := make([]*fixture, 3)
				for i := range nodes {
					nodes[i] = newFixture(plan, func(o *ratelimit.Options) {
						o.Nodes = func() int { return 3 }
						o.Shared = w
						if i < cut {
							o.Shared = &flakyBucket{sharedBucket: w, began: time.Now()}
						}
					})
				}
				defer run(nodes...)()
				const span = time.Minute
				sent, through := flood(t, nodes, 3*plan.Rate, span)
				allowed := float64(plan.Burst) + plan.Rate*span.Seconds()
				if cut == 1 { // it cannot know that the others grant their shares
					allowed += plan.Rate * span.Seconds() / 2 / 3
				}
				if float64(through) > 1.05*allowed {
					t.Errorf("%+v, %d nodes cut off: %d of %d came through, %g are allowed", plan, cut, through, sent, allowed)
				}
				if float64(through) < 0.7*plan.Rate*span.Seconds() {
					t.Errorf("%+v, %d nodes cut off: only %d of %d came through, %g are allowed", plan, cut, through, sent, allowed)
				}
			})
		}
	}
}

// TestLimiter_FallbackUsage_NotChargedTwice: tokens granted in fallback that have flowed back are not charged when the bucket fails
// once more.
func TestLimiter_FallbackUsage_NotChargedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now(), away: true}
		r := newFixture(esh3ar.Plan{Rate: 10, Burst: 20}, func(o *ratelimit.Options) { o.Shared = w })
		defer run(r)()
		all := func() (sent int) {
			for {
				if _, err := r.send(t.Context(), 1); err != nil {
					return sent
				}
				sent++
			}
		}
		if n := all(); n != 20 {
			t.Errorf("%d alone", n)
		}
		w.set(false)
		time.Sleep(10 * time.Second)
		if n := all(); n != 20 {
			t.Errorf("%d of a bucket that is full again", n)
		}
		w.set(true)
		time.Sleep(100 * time.Millisecond)
		all()
		w.set(false)
		time.Sleep(1500 * time.Millisecond)
		if n := all(); n < 13 {
			t.Errorf("only %d came through after a second and a half", n)
		}
	})
}

// flakyBucket is a shared bucket that answers only in every other two seconds.
type flakyBucket struct {
	*sharedBucket
	began time.Time
}

func (f *flakyBucket) Take(ctx context.Context, key string, rate float64, burst, n int) (flow.Decision, error) {
	if int(time.Since(f.began)/(2*time.Second))%2 == 1 {
		return flow.Decision{}, errors.New("away")
	}
	return f.sharedBucket.Take(ctx, key, rate, burst, n)
}

func TestLimiter_RetryAfter_FitsTheRequestSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 10, Burst: 100}, func(o *ratelimit.Options) { o.Shared = &sharedBucket{began: time.Now()} })
		defer run(r)()
		for {
			if _, err := r.send(t.Context(), 1); err != nil {
				break
			}
		}
		_, err := r.send(t.Context(), 50)
		var e *esh3ar.Error
		if !errors.As(err, &e) || e.RetryAfter < 4800*time.Millisecond || e.RetryAfter > 5200*time.Millisecond {
			t.Fatalf("%+v, want about five seconds", e)
		}
		time.Sleep(e.RetryAfter)
		if _, err := r.send(t.Context(), 50); err != nil {
			t.Errorf("after the time that it was told: %v", err)
		}
	})
}

// delayedStore is a usage store with a delay before and after each addition.
type delayedStore struct{ *ledger }

func (l delayedStore) AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error) {
	time.Sleep(3 * time.Millisecond)
	sums, err := l.ledger.AddUsage(ctx, entries)
	time.Sleep(time.Millisecond)
	return sums, err
}

func (l delayedStore) Usage(ctx context.Context, b esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error) {
	time.Sleep(2 * time.Millisecond)
	days, err := l.ledger.Usage(ctx, b, first, last)
	time.Sleep(2 * time.Millisecond)
	return days, err
}

// TestLimiters_Usage_ExactDuringAdditions: a read during an addition is neither too low nor counted twice.
func TestLimiters_Usage_ExactDuringAdditions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 1000, Burst: 1000}, nil)
		var books ratelimit.Options
		books.Plan = func(string) *esh3ar.Plan { return r.plan.Load() }
		books.Usage = delayedStore{r.ledger}
		books.Every = 50 * time.Millisecond
		r.Limiters = ratelimit.NewLimiters(books)
		defer run(r)()
		today := esh3ar.DayOf(esh3ar.TimeOf(time.Now()))
		for sent := int64(1); sent < 1000; sent++ {
			if _, err := r.send(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			days, err := r.Usage(t.Context(), r.For(r.id, ""), time.Now(), today)
			if err != nil || len(days) != 1 || days[0].Messages != sent {
				t.Fatalf("%d sent: %+v, %v", sent, days, err)
			}
		}
	})
}

func TestLimiter_CallerCanceled_KeepsDailyUsage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 10, Burst: 10, DailyQuota: 5}, nil)
		today := esh3ar.DayOf(esh3ar.TimeOf(time.Now()))
		r.ledger.days[today] = esh3ar.Usage{Business: r.id, Day: today, Messages: 5}
		gone, leave := context.WithCancel(t.Context())
		leave()
		for range 2 {
			if _, err := r.send(gone, 1); esh3ar.CodeOf(err) != esh3ar.RateLimited {
				t.Errorf("the day is used up: %v", err)
			}
		}
	})
}

// TestLimiter_RefusedBatch_DoesNotBlockSingles: a refusal of a large request does not apply to smaller ones.
func TestLimiter_RefusedBatch_DoesNotBlockSingles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 1, Burst: 100}, func(o *ratelimit.Options) { o.Shared = &sharedBucket{began: time.Now()} })
		defer run(r)()
		if _, err := r.send(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		if _, err := r.send(t.Context(), 60); esh3ar.CodeOf(err) != esh3ar.RateLimited {
			t.Fatal(err)
		}
		for range 30 {
			if _, err := r.send(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLimiter_ConcurrentCallers_ShareOneRefill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now()}
		r := newFixture(esh3ar.Plan{Rate: 10_000, Burst: 100_000}, func(o *ratelimit.Options) { o.Shared = w })
		defer run(r)()
		var calls sync.WaitGroup
		for range 200 {
			calls.Go(func() {
				if _, err := r.send(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if w.asked > 2 {
			t.Errorf("%d questions for 200 callers", w.asked)
		}
	})
}

func TestLimiters_ConcurrentUse_StoredEqualsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 100_000, Burst: 100_000, DailyQuota: 1_000_000}, func(o *ratelimit.Options) { o.Every = 20 * time.Millisecond })
		stop := run(r)
		var callers sync.WaitGroup
		var accepted atomic.Int64
		for seed := range uint64(8) {
			callers.Go(func() {
				random := rand.New(rand.NewPCG(seed, 1))
				for range 60 {
					n := 1 + random.IntN(5)
					if _, err := r.send(t.Context(), n); err == nil {
						accepted.Add(int64(n))
					}
					if random.IntN(10) == 0 {
						r.ledger.fail([]error{nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")}[random.IntN(2)])
					}
					time.Sleep(time.Duration(random.IntN(int(3 * time.Minute)))) // across midnights
				}
			})
		}
		callers.Wait()
		r.ledger.fail(nil)
		stop()
		sum := int64(0)
		for _, u := range r.ledger.days {
			sum += u.Messages
		}
		if sum != accepted.Load() {
			t.Errorf("%d accepted, %d in the store", accepted.Load(), sum)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	r := newFixture(esh3ar.Plan{Rate: 1e9, Burst: 1_000_000, DailyQuota: 1e12}, nil)
	b.ReportAllocs()
	for b.Loop() {
		a := r.For(r.id, "")
		now := time.Now()
		_ = a.Enter()
		if _, err := a.Take(b.Context(), now, 1); err != nil {
			a.Leave(0, 0)
			continue
		}
		a.Leave(1, 1)
	}
}

// TestLimiter_Batch_CombinesLeaseAndBucket: the tokens of the lease and of the shared bucket are enough together.
func TestLimiter_Batch_CombinesLeaseAndBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &sharedBucket{began: time.Now()}
		r := newFixture(esh3ar.Plan{Rate: 0.1, Burst: 1000}, func(o *ratelimit.Options) { o.Shared = w })
		if _, err := r.send(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := r.send(t.Context(), 999); err != nil {
			t.Errorf("the rest of the burst: %v", err)
		}
		_, err := r.send(t.Context(), 2)
		var e *esh3ar.Error
		if !errors.As(err, &e) || e.RetryAfter < 19*time.Second || e.RetryAfter > 20*time.Second {
			t.Errorf("%+v, want one to try again after twice 10 s but for what has passed", e)
		}
	})
}

// TestLimiters_ConcurrentDrop_KeepsLimiterInUse: a call that begins while its limiter is about to be dropped as idle still counts.
func TestLimiters_ConcurrentDrop_KeepsLimiterInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(esh3ar.Plan{Rate: 10, Burst: 10}, nil)
		stop := run(r)
		if _, err := r.send(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute - time.Second)
		a := r.For(r.id, "")
		time.Sleep(10 * time.Second)
		if err := a.Enter(); err != nil {
			t.Fatal(err)
		}
		a.Leave(0, 1)
		stop()
		if u := r.ledger.of(esh3ar.DayOf(esh3ar.TimeOf(time.Now()))); u.Messages != 2 {
			t.Errorf("%d messages were counted, want 2", u.Messages)
		}
	})
}
