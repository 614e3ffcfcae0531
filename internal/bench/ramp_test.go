package bench

import (
	"math"
	"testing"
	"time"
)

func TestRamp_At_InterpolatesLinearly(t *testing.T) {
	t.Parallel()
	r := &ramp{rates: []float64{10, 10, 50, 20}, stretch: 4 * time.Second}
	if r.duration() != 12*time.Second {
		t.Errorf("whole: %s", r.duration())
	}
	for after, want := range map[time.Duration]float64{
		-time.Second: 10, 0: 10, 3: 10, 4 * time.Second: 10, 5 * time.Second: 20, 8 * time.Second: 50, 10 * time.Second: 35,
		12 * time.Second: 20, time.Minute: 20,
	} {
		if got := r.at(after); math.Abs(got-want) > 1e-6 {
			t.Errorf("at %s: %g, want %g", after, got, want)
		}
	}
}

// TestRamp_Next_YieldsIntegralOfRates checks that the number of due messages is the area under the rates.
func TestRamp_Next_YieldsIntegralOfRates(t *testing.T) {
	t.Parallel()
	r := &ramp{rates: []float64{40, 40, 220, 220, 40, 40}, stretch: 10 * time.Second}
	due := 0
	for after := time.Duration(0); after < r.duration(); after = r.next(after) {
		due++
	}
	if want := 400 + 1300 + 2200 + 1300 + 400; math.Abs(float64(due-want)) > 5 {
		t.Errorf("%d messages, want about %d", due, want)
	}
}
