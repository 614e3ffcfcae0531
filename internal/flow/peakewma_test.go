package flow_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestPeakEWMA(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	now := time.Unix(0, 0)
	p := flow.PeakEWMA{Fall: time.Second}
	within := func(what string, low, high time.Duration) {
		t.Helper()
		if got := p.Value(now); got < low || got > high {
			t.Errorf("%s: %s, want %s to %s", what, got, low, high)
		}
	}
	within("before the first sample", 0, 0)
	p.Observe(now, 10*ms)
	within("the first sample", 10*ms, 10*ms)
	p.Observe(now, 300*ms)
	within("one outlier", 40*ms, 40*ms)
	p.Observe(now, 300*ms)
	within("slow again", 160*ms, 160*ms)
	p.Observe(now, 100*ms) // no time has passed: it says nothing yet
	within("a better sample at the same time", 160*ms, 160*ms)
	now = now.Add(time.Second)
	within("a silent second", 58*ms, 60*ms) // 160/e
	p.Observe(now, 10*ms)
	within("a good sample after a second", 64*ms, 66*ms) // 160/e + 10·(1−1/e)
	for range 2000 {
		now = now.Add(5 * ms)
		p.Observe(now, 10*ms)
	}
	within("ten good seconds", 9*ms, 11*ms)
	now = now.Add(time.Minute)
	within("a silent minute", 0, ms/1000)
}

// TestPeakEWMARisesFromTheNoise: an average of next to nothing is not held down by its own smallness.
func TestPeakEWMARisesFromTheNoise(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	p := flow.PeakEWMA{Fall: time.Second}
	p.Observe(now, time.Microsecond)
	p.Observe(now, time.Second)
	if got := p.Value(now); got != 4*time.Millisecond {
		t.Errorf("%s, want four times a millisecond", got)
	}
	p.Observe(now.Add(-time.Second), time.Microsecond) // a clock that goes back
	if got := p.Value(now.Add(-2 * time.Second)); got > 4*time.Millisecond {
		t.Errorf("%s grew out of the past", got)
	}
}
