package flow_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestQuota_Take_FollowsBucket(t *testing.T) {
	t.Parallel()
	q := flow.NewQuota(10, 3)
	if q.Interval != 100*time.Millisecond {
		t.Fatalf("got interval %s, want 100ms", q.Interval)
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
		{time.Second, 4, true, 0, 0, 400 * time.Millisecond}, // above the burst, from a full bucket: in debt
		{0, 1, false, 0, 200 * time.Millisecond, 400 * time.Millisecond},
	} {
		now += int64(step.wait)
		got := q.Take(full, now, step.n)
		full = got.Full
		if got.Allowed != step.allowed || got.Remaining != step.remaining || got.RetryAfter != step.retryAfter || got.Reset != step.reset {
			t.Errorf("got %+v, want %+v", got, step)
		}
	}
}

func TestQuota_ExtremeSizes_DoNotOverflow(t *testing.T) {
	t.Parallel()
	for rate, interval := range map[float64]time.Duration{100_000: 10_000, 99_999: 10_001, 3: 333_333_334, 0.001: 1000 * time.Second, 1e12: 1, 1e-30: flow.NewQuota(1e-31, 1).Interval} {
		if q := flow.NewQuota(rate, 1); q.Interval != interval || q.Interval < 1 || q.Take(0, 1, 1_000_000).Reset < 0 {
			t.Errorf("%g per second: got interval %d ns, want %d", rate, q.Interval, interval)
		}
	}
	if got := flow.NewQuota(0.001, 1_000_000).Take(0, 1, 1_000_000); !got.Allowed || got.Reset != 1e9*time.Second {
		t.Errorf("slowest rate, largest burst: got %+v, want it allowed", got)
	}
	slow := flow.NewQuota(1, 100)
	for missing, left := range map[int]int{0: 5, 2: 3, 5: 0, 100: 0} {
		full := flow.NewQuota(10, 5).ConvertState(slow, slow.Take(0, 1e9, missing).Full, 1e9)
		if got := flow.NewQuota(10, 5).Take(full, 1e9, 0); got.Remaining != left || got.Reset != time.Duration(5-left)*100*time.Millisecond {
			t.Errorf("converted with %d units missing: got %+v, want %d left", missing, got, left)
		}
	}
	if full := flow.NewQuota(10, 5).ConvertState(slow, slow.Take(0, 1e9, 2).Full, 15e8); full != 15e8+2e8 {
		t.Errorf("converted with 1.5 units missing: got %d ns, want those of 2 units", full-15e8)
	}
	if got := flow.NewQuota(0.001, 1_000_000).Share(100); got.Interval > math.MaxInt64/1_000_000 {
		t.Errorf("share of the slowest quota: got %+v, want an interval that does not overflow", got)
	}
	if got := flow.NewQuota(10, 9).Share(4); got != (flow.Quota{Interval: 400 * time.Millisecond, Burst: 2}) {
		t.Errorf("Share(4): got %+v, want 400ms and burst 2", got)
	}
	if got := flow.NewQuota(10, 2).Share(4); got.Burst != 1 {
		t.Errorf("Share(4) of a small burst: got %+v, want burst 1", got)
	}
}

// take is one allowed Take in a history.
type take struct {
	at int64 // time in ns
	n  int   // units
}

// TestQuota_AnyHistory_NeverExceedsBurstAndRate: in every window of every history at most burst + rate × window units are allowed.
func TestQuota_AnyHistory_NeverExceedsBurstAndRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		q := flow.NewQuota(rapid.Float64Range(0.1, 100_000).Draw(t, "rate"), burst)
		now, full := rapid.Int64Range(0, 1e15).Draw(t, "begin"), int64(0)
		var allowed []take
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now += rapid.Int64Range(0, int64(q.Interval)*4).Draw(t, "gap")
			n := rapid.IntRange(0, burst).Draw(t, "n")
			before := q.Take(full, now, 0)
			got := q.Take(full, now, n)
			checkDecision(t, q, before, got, now, n)
			full = got.Full
			if got.Allowed {
				allowed = append(allowed, take{now, n})
			}
		}
		for i := range allowed {
			sum := 0
			for _, last := range allowed[i:] {
				sum += last.n
				if window := last.at - allowed[i].at; int64(sum) > int64(burst)+window/int64(q.Interval) {
					t.Fatalf("got %d units in %d ns, want at most the burst of %d and one per %d ns", sum, window, burst, q.Interval)
				}
			}
		}
	})
}

// checkDecision checks what holds for every single Take.
func checkDecision(t *rapid.T, q flow.Quota, before, got flow.Decision, now int64, n int) {
	t.Helper()
	switch {
	case got.Remaining < 0 || got.Remaining > q.Burst || got.RetryAfter < 0 || got.Reset < 0 || got.Full < now:
		t.Fatalf("got %+v, want it within bounds", got)
	case got.Allowed != (n <= before.Remaining):
		t.Fatalf("take %d of %d: got %+v", n, before.Remaining, got)
	case got.Allowed && (got.Remaining != before.Remaining-n || got.RetryAfter != 0):
		t.Fatalf("take %d of %d: got %+v", n, before.Remaining, got)
	case !got.Allowed && (got.Full != before.Full || !q.Take(got.Full, now+int64(got.RetryAfter), n).Allowed || q.Take(got.Full, now+int64(got.RetryAfter)-1, n).Allowed):
		t.Fatalf("got RetryAfter %s in %+v, want the first moment that allows the call", got.RetryAfter, got)
	}
}

func BenchmarkTake(b *testing.B) {
	q := flow.NewQuota(100_000, 100_000)
	full := int64(0)
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 9_000
		full = q.Take(full, now, 1).Full
	}
}
