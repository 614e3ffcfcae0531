package flow_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestPeakEWMA_Samples_RiseFastAndFallSlowly(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	now := time.Unix(0, 0)
	p := flow.PeakEWMA{Fall: time.Second}
	wantBetween := func(what string, low, high time.Duration) {
		t.Helper()
		if got := p.Value(now); got < low || got > high {
			t.Errorf("%s: got %s, want %s to %s", what, got, low, high)
		}
	}
	wantBetween("before the first sample", 0, 0)
	p.Observe(now, 10*ms)
	wantBetween("the first sample", 10*ms, 10*ms)
	p.Observe(now, 300*ms)
	wantBetween("one outlier", 40*ms, 40*ms)
	p.Observe(now, 300*ms)
	wantBetween("slow again", 160*ms, 160*ms)
	p.Observe(now, 100*ms) // no time has passed, so it has no weight
	wantBetween("a better sample at the same time", 160*ms, 160*ms)
	now = now.Add(time.Second)
	wantBetween("a second without samples", 58*ms, 60*ms) // 160/e
	p.Observe(now, 10*ms)
	wantBetween("a good sample after a second", 64*ms, 66*ms) // 160/e + 10·(1−1/e)
	for range 2000 {
		now = now.Add(5 * ms)
		p.Observe(now, 10*ms)
	}
	wantBetween("ten good seconds", 9*ms, 11*ms)
	now = now.Add(time.Minute)
	wantBetween("a minute without samples", 0, ms/1000)
}

// TestPeakEWMA_TinyAverage_StillRises: maxRise does not hold down an average of a few microseconds.
func TestPeakEWMA_TinyAverage_StillRises(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	p := flow.PeakEWMA{Fall: time.Second}
	p.Observe(now, time.Microsecond)
	p.Observe(now, time.Second)
	if got := p.Value(now); got != 4*time.Millisecond {
		t.Errorf("got %s, want 4ms", got)
	}
	p.Observe(now.Add(-time.Second), time.Microsecond) // a time that goes back
	if got := p.Value(now.Add(-2 * time.Second)); got > 4*time.Millisecond {
		t.Errorf("at an earlier time: got %s, want at most 4ms", got)
	}
}
