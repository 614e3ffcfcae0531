package rounds

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEach_Order_Alternates(t *testing.T) {
	t.Parallel()
	var got []int
	err := Each(t.Context(), 3, 3, func(round, variant int) error {
		got = append(got, 10*round+variant)
		return nil
	})
	if want := []int{0, 1, 2, 12, 11, 10, 20, 21, 22}; err != nil || !slices.Equal(got, want) {
		t.Errorf("order: got %v, %v, want %v", got, err, want)
	}
}

func TestEach_ErrorOrEndOfContext_Stops(t *testing.T) {
	t.Parallel()
	broken, calls := errors.New("broken"), 0
	if err := Each(t.Context(), 5, 2, func(int, int) error { calls++; return broken }); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("after an error: got %v and %d calls, want %v and 1", err, calls, broken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	calls = 0
	err := Each(ctx, 5, 2, func(int, int) error {
		calls++
		cancel(broken)
		return nil
	})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("after the end of the context: got %v and %d calls, want %v and 1", err, calls, broken)
	}
}

// TestOf_KnownTables compares with the table of order statistics for the interval of a median at 95 %.
func TestOf_KnownTables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n               int
		median          float64
		low, high       float64
		confidence      float64
		confidenceIsLow bool
	}{
		{1, 1, 1, 1, 0, true},
		{5, 3, 1, 5, 0.9375, true},
		{6, 3.5, 1, 6, 0.96875, false},
		{9, 5, 2, 8, 0.9609, false},
		{10, 5.5, 2, 9, 0.9785, false},
		{20, 10.5, 6, 15, 0.9586, false},
		{25, 13, 8, 18, 0.9567, false},
	} {
		values := make([]float64, tc.n)
		for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(tc.n) {
			values[at] = float64(i + 1)
		}
		got := Of(values)
		if got.Median != tc.median || got.Low != tc.low || got.High != tc.high || got.Rounds != tc.n {
			t.Errorf("1 to %d: got %+v, want median %g and interval %g to %g", tc.n, got, tc.median, tc.low, tc.high)
		}
		if math.Abs(got.Confidence-tc.confidence) > 1e-4 || got.Confidence < wanted != tc.confidenceIsLow {
			t.Errorf("1 to %d: got confidence %.4f, want %.4f", tc.n, got.Confidence, tc.confidence)
		}
	}
}

// TestOf_SkewedValues_CoverTheMedian draws rounds from a skewed distribution with a known median. The share of intervals that
// cover it is not below the promised confidence, within the noise of 4,000 trials.
func TestOf_SkewedValues_CoverTheMedian(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2026, 1))
	const trials = 4000
	for _, n := range []int{6, 9, 15, 30} {
		covered, promised := 0, 0.0
		for range trials {
			values := make([]float64, n)
			for i := range values {
				values[i] = random.ExpFloat64()
			}
			s := Of(values)
			promised = s.Confidence
			if s.Low <= math.Ln2 && math.Ln2 <= s.High {
				covered++
			}
		}
		if got := float64(covered) / trials; got < promised-0.015 || got > promised+0.015 {
			t.Errorf("%d rounds: the interval covers the median in %.3f of the trials, want %.3f", n, got, promised)
		}
	}
}

// TestRatios_DriftingMachine_FindsTheTrueRatio: the machine becomes three times slower during the run. The ratio of the
// medians would be wrong; the median of the ratios is right.
func TestRatios_DriftingMachine_FindsTheTrueRatio(t *testing.T) {
	t.Parallel()
	var a, b []float64
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 20 {
		speed := 1 + 2*float64(round)/20
		a = append(a, 60*speed*(1+0.02*random.NormFloat64()))
		b = append(b, 40*speed*(1+0.02*random.NormFloat64()))
	}
	got := Of(Ratios(a, b))
	if got.Median < 1.47 || got.Median > 1.53 || got.Low > 1.5 || got.High < 1.5 || got.High-got.Low > 0.1 {
		t.Errorf("ratio: got %v, want 1.5 with a narrow interval", got)
	}
	if text := (Spread{Median: 1.5, Low: 1.25, High: 2}).String(); text != "1.5 (1.25 to 2)" {
		t.Errorf("String: got %q", text)
	}
}

func TestRatios_DifferentLengths_Panics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("two rounds and one did not panic")
		}
	}()
	Ratios([]float64{1, 2}, []float64{1})
}
