package redis_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// hourly is a bucket that fills so slowly that its level does not change during a test.
func hourly(burst int) redis.Bucket { return redis.Bucket{Rate: 1.0 / 3600, Burst: burst} }

func take(ctx context.Context, t *testing.T, q *redis.Quotas, key string, b redis.Bucket, n int) redis.Taken {
	t.Helper()
	taken, err := q.Take(ctx, key, b, n)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// about reports whether d is at most a minute below want, because the server's clock advances.
func about(d, want time.Duration) bool { return d <= want && d > want-time.Minute }

func TestQuotas_Take_EnforcesRateAndBurst(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q, b := open(ctx, t, top.url, "a").Quotas(), hourly(10)
		for i, step := range []struct {
			n              int
			allowed        bool
			remaining      int
			retry, refills time.Duration
		}{
			{0, true, 10, 0, 0},
			{1, true, 9, 0, time.Hour},
			{7, true, 2, 0, 8 * time.Hour},
			{3, false, 2, time.Hour, 8 * time.Hour},
			{10, false, 2, 8 * time.Hour, 8 * time.Hour},
			{0, true, 2, 0, 8 * time.Hour},
			{2, true, 0, 0, 10 * time.Hour},
			{1, false, 0, time.Hour, 10 * time.Hour},
			{0, true, 0, 0, 10 * time.Hour},
		} {
			got := take(ctx, t, q, "business", b, step.n)
			if got.Allowed != step.allowed || got.Remaining != step.remaining || !about(got.RetryAfter, step.retry) || !about(got.Reset, step.refills) {
				t.Errorf("step %d, take %d: %+v", i, step.n, got)
			}
		}
		if got := take(ctx, t, q, "another", b, 10); !got.Allowed {
			t.Errorf("another key: %+v", got)
		}
		top.wantExpiry(ctx, t, 10*time.Hour+time.Second)
	})
}

// TestQuotas_PlanChanges_KeepsMissingUnits: the missing units of a bucket stay missing, whether the new plan is slower or faster.
func TestQuotas_PlanChanges_KeepsMissingUnits(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q := open(ctx, t, top.url, "a").Quotas()
		hours, days := hourly(10), redis.Bucket{Rate: 1.0 / 86_400, Burst: 10}
		if got := take(ctx, t, q, "business", hours, 8); got.Remaining != 2 {
			t.Errorf("%+v", got)
		}
		if got := take(ctx, t, q, "business", days, 1); !got.Allowed || got.Remaining != 1 || !about(got.Reset, 9*24*time.Hour) {
			t.Errorf("a slower plan: %+v", got)
		}
		if got := take(ctx, t, q, "business", hours, 0); got.Remaining != 1 || !about(got.Reset, 9*time.Hour) {
			t.Errorf("the faster one again: %+v", got)
		}
		if got := take(ctx, t, q, "business", hourly(4), 1); got.Allowed || got.Remaining != 0 || !about(got.RetryAfter, time.Hour) {
			t.Errorf("a smaller one: %+v", got)
		}
	})
}

// TestQuotas_SeveralNodes_ShareOneBucket: all nodes together get exactly the quota, regardless of which node uses it.
func TestQuotas_SeveralNodes_ShareOneBucket(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		var allowed atomic.Int64
		var group sync.WaitGroup
		for _, q := range []*redis.Quotas{open(ctx, t, top.url, "a").Quotas(), open(ctx, t, top.url, "b").Quotas()} {
			for range 4 {
				group.Go(func() {
					for range 50 {
						if taken, err := q.Take(ctx, "k", hourly(300), 1); err != nil {
							t.Error(err)
						} else if taken.Allowed {
							allowed.Add(1)
						}
					}
				})
			}
		}
		group.Wait()
		if got := allowed.Load(); got != 300 {
			t.Errorf("%d of 300", got)
		}
	})
}

// TestQuotas_Bucket_FillsAtItsRate: never more than the burst and what flowed in since.
func TestQuotas_Bucket_FillsAtItsRate(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q := open(ctx, t, top.url, "a").Quotas()
		for _, b := range []redis.Bucket{{Rate: 100, Burst: 5}, {Rate: 300, Burst: 1}, {Rate: redis.MaxRate, Burst: 1000}} {
			key := time.Duration(b.Rate).String() // any name
			began, allowed := time.Now(), 0
			var promised time.Time // time from which a unit must be available; zero if none was promised
			await(ctx, t, "the bucket gave its burst twice and more", func() bool {
				asked := time.Now()
				taken := take(ctx, t, q, key, b, 1)
				switch wait := time.Duration(float64(time.Second) / b.Rate); {
				case taken.Allowed:
					allowed++
					promised = time.Time{}
				case !promised.IsZero() && asked.After(promised):
					t.Errorf("%+v: refused %s after the time that it named", b, asked.Sub(promised))
				case taken.RetryAfter <= 0 || taken.RetryAfter > wait+2*time.Microsecond:
					t.Errorf("%+v: retry after %s", b, taken.RetryAfter)
				default:
					promised = time.Now().Add(taken.RetryAfter + 2*time.Millisecond) // for the difference between the two clocks
				}
				return allowed > 2*min(b.Burst, 20)
			})
			if most := float64(b.Burst) + b.Rate*time.Since(began).Seconds(); float64(allowed) > 1.02*most {
				t.Errorf("%+v gave %d, at most %g were there", b, allowed, most)
			}
		}
	})
}

func TestQuotas_FullBucket_KeyExpires(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q := open(ctx, t, top.url, "a").Quotas()
		if got := take(ctx, t, q, "k", redis.Bucket{Rate: 10, Burst: 3}, 3); !got.Allowed {
			t.Fatalf("%+v", got)
		}
		await(ctx, t, "a full bucket takes no memory", func() bool { return len(top.keys(ctx, t)) == 0 })
		if got := take(ctx, t, q, "k", redis.Bucket{Rate: 10, Burst: 3}, 3); !got.Allowed {
			t.Errorf("%+v", got)
		}
	})
}

// TestQuotas_ClockGoesBack_WaitIsBounded: no caller waits longer than a whole bucket takes to fill.
func TestQuotas_ClockGoesBack_WaitIsBounded(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q := open(ctx, t, top.url, "a").Quotas()
		top.do(ctx, t, "SET", prefix(t)+"q:{k}", "9000000000000000") // in microseconds, in the year 2255
		if got := take(ctx, t, q, "k", hourly(3), 1); got.Allowed || got.Remaining != 0 || !about(got.RetryAfter, time.Hour) || !about(got.Reset, 3*time.Hour) {
			t.Errorf("%+v", got)
		}
	})
}

func TestQuotas_InvalidArguments_Fail(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		q := open(ctx, t, top.url, "a").Quotas()
		for _, test := range []struct {
			b redis.Bucket
			n int
		}{
			{redis.Bucket{Rate: 0, Burst: 1}, 1},
			{redis.Bucket{Rate: -1, Burst: 1}, 1},
			{redis.Bucket{Rate: math.NaN(), Burst: 1}, 1},
			{redis.Bucket{Rate: 2 * redis.MaxRate, Burst: 1}, 1},
			{redis.Bucket{Rate: 1, Burst: 0}, 0},
			{redis.Bucket{Rate: 1, Burst: 2 * redis.MaxBurst}, 1},
			{redis.Bucket{Rate: 1e-6, Burst: redis.MaxBurst}, 1},
			{redis.Bucket{Rate: 1, Burst: 5}, 6},
			{redis.Bucket{Rate: 1, Burst: 5}, -1},
		} {
			if got, err := q.Take(ctx, "k", test.b, test.n); err == nil {
				t.Errorf("take %d of %+v: %+v", test.n, test.b, got)
			}
		}
		if keys := top.keys(ctx, t); len(keys) > 0 {
			t.Errorf("they left %v", keys)
		}
	})
}
