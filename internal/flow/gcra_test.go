package flow_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestQuota(t *testing.T) {
	t.Parallel()
	q := flow.QuotaOf(10, 3)
	if q.Interval != 100*time.Millisecond {
		t.Fatal(q.Interval)
	}
	now, full := int64(time.Hour), int64(0)
	for _, step := range []struct {
		wait       time.Duration
		n          int
		allowed    bool
		remaining  int
		retryAfter time.Duration
		reset      time.Duration
	}{
		{0, 0, true, 3, 0, 0},
		{0, 2, true, 1, 0, 200 * time.Millisecond},
		{0, 2, false, 1, 100 * time.Millisecond, 200 * time.Millisecond},
		{0, 1, true, 0, 0, 300 * time.Millisecond},
		{0, 1, false, 0, 100 * time.Millisecond, 300 * time.Millisecond},
		{99 * time.Millisecond, 1, false, 0, time.Millisecond, 201 * time.Millisecond},
		{time.Millisecond, 1, true, 0, 0, 300 * time.Millisecond},
		{time.Hour, 3, true, 0, 0, 300 * time.Millisecond},
		{0, 4, false, 0, 300 * time.Millisecond, 300 * time.Millisecond},
		{time.Second, 4, true, 0, 0, 400 * time.Millisecond}, // more than the burst: from a full bucket, and owed
		{0, 1, false, 0, 200 * time.Millisecond, 400 * time.Millisecond},
	} {
		now += int64(step.wait)
		got := q.Take(full, now, step.n)
		full = got.Full
		if got.Allowed != step.allowed || got.Remaining != step.remaining || got.RetryAfter != step.retryAfter || got.Reset != step.reset {
			t.Errorf("%+v: got %+v", step, got)
		}
	}
}

func TestQuotasOfAllSizes(t *testing.T) {
	t.Parallel()
	for rate, interval := range map[float64]time.Duration{100_000: 10_000, 99_999: 10_001, 3: 333_333_334, 0.001: 1000 * time.Second, 1e12: 1, 1e-30: flow.QuotaOf(1e-31, 1).Interval} {
		if q := flow.QuotaOf(rate, 1); q.Interval != interval || q.Interval < 1 || q.Take(0, 1, 1_000_000).Reset < 0 {
			t.Errorf("%g per second: %d ns, want %d", rate, q.Interval, interval)
		}
	}
	if got := flow.QuotaOf(0.001, 1_000_000).Take(0, 1, 1_000_000); !got.Allowed || got.Reset != 1e9*time.Second {
		t.Errorf("the slowest and largest: %+v", got)
	}
	slow := flow.QuotaOf(1, 100)
	for missing, left := range map[int]int{0: 5, 2: 3, 5: 0, 100: 0} {
		full := flow.QuotaOf(10, 5).Fit(slow, slow.Take(0, 1e9, missing).Full, 1e9)
		if got := flow.QuotaOf(10, 5).Take(full, 1e9, 0); got.Remaining != left || got.Reset != time.Duration(5-left)*100*time.Millisecond {
			t.Errorf("without %d of another quota: %+v, want %d left", missing, got, left)
		}
	}
	if full := flow.QuotaOf(10, 5).Fit(slow, slow.Take(0, 1e9, 2).Full, 15e8); full != 15e8+2e8 {
		t.Errorf("without one and a half of another quota: %d ns are missing, want those of two", full-15e8)
	}
	if got := flow.QuotaOf(0.001, 1_000_000).Share(100); got.Interval > math.MaxInt64/1_000_000 {
		t.Errorf("a million of a share of the slowest would overflow: %+v", got)
	}
	if got := flow.QuotaOf(10, 9).Share(4); got != (flow.Quota{Interval: 400 * time.Millisecond, Burst: 2}) {
		t.Errorf("a quarter: %+v", got)
	}
	if got := flow.QuotaOf(10, 2).Share(4); got.Burst != 1 {
		t.Errorf("a quarter of little: %+v", got)
	}
}

// take is one call in a history.
type take struct {
	at int64
	n  int
}

// TestNeverMoreThanBurstAndRate: in any window of any history nothing beyond burst + rate × window comes through.
func TestNeverMoreThanBurstAndRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		q := flow.QuotaOf(rapid.Float64Range(0.1, 100_000).Draw(t, "rate"), burst)
		now, full := rapid.Int64Range(0, 1e15).Draw(t, "begin"), int64(0)
		var through []take
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now += rapid.Int64Range(0, int64(q.Interval)*4).Draw(t, "gap")
			n := rapid.IntRange(0, burst).Draw(t, "n")
			before := q.Take(full, now, 0)
			got := q.Take(full, now, n)
			check(t, q, before, got, now, n)
			if full = got.Full; got.Allowed {
				through = append(through, take{now, n})
			}
		}
		for i := range through {
			sum := 0
			for _, last := range through[i:] {
				sum += last.n
				if window := last.at - through[i].at; int64(sum) > int64(burst)+window/int64(q.Interval) {
					t.Fatalf("%d came through in %d ns, with a burst of %d and one each %d ns", sum, window, burst, q.Interval)
				}
			}
		}
	})
}

// check says what holds for every single take.
func check(t *rapid.T, q flow.Quota, before, got flow.Taken, now int64, n int) {
	t.Helper()
	switch {
	case got.Remaining < 0 || got.Remaining > q.Burst || got.RetryAfter < 0 || got.Reset < 0 || got.Full < now:
		t.Fatalf("out of bounds: %+v", got)
	case got.Allowed != (n <= before.Remaining):
		t.Fatalf("%d of %d: %+v", n, before.Remaining, got)
	case got.Allowed && (got.Remaining != before.Remaining-n || got.RetryAfter != 0):
		t.Fatalf("%d of %d: %+v", n, before.Remaining, got)
	case !got.Allowed && (got.Full != before.Full || !q.Take(got.Full, now+int64(got.RetryAfter), n).Allowed || q.Take(got.Full, now+int64(got.RetryAfter)-1, n).Allowed):
		t.Fatalf("retry after %s is not the first moment: %+v", got.RetryAfter, got)
	}
}

func BenchmarkTake(b *testing.B) {
	q, full, now := flow.QuotaOf(100_000, 100_000), int64(0), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 9_000
		full = q.Take(full, now, 1).Full
	}
}
