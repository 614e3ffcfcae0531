package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTrend_SecondHalf_OnlyItsSlopeCounts uses series whose growth is known.
func TestTrend_SecondHalf_OnlyItsSlopeCounts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 16))
	series := func(value func(i float64) float64) (values []float64) {
		for i := range 200 {
			values = append(values, value(float64(i)))
		}
		return values
	}
	for name, tc := range map[string]struct {
		values       []float64
		want, within float64
	}{
		"constant":            {series(func(float64) float64 { return 7 }), 0, 0},
		"zero":                {series(func(float64) float64 { return 0 }), 0, 0},
		"grows, then is flat": {series(func(i float64) float64 { return min(i, 100) }), 0, 0},
		"flat, then grows":    {series(func(i float64) float64 { return 100 + max(0, i-100) }), 99.0 / 149.5, 0.01},
		"shrinks":             {series(func(i float64) float64 { return 1000 - i }), -99.0 / 850.5, 0.001},
		"noisy and flat":      {series(func(float64) float64 { return 100 + 10*random.NormFloat64() }), 0, 0.05},
		"noisy and growing":   {series(func(i float64) float64 { return 100 + i/2 + 5*random.NormFloat64() }), 49.5 / 174.75, 0.05},
		"flat with outliers":  {series(func(i float64) float64 { return 50 + 1e6*math.Floor(math.Mod(i, 10)/9) }), 0, 0},
		"too few":             {[]float64{1, 2, 3}, 0, 0},
	} {
		if got := trend(tc.values); math.Abs(got-tc.want) > tc.within {
			t.Errorf("%s: got %.4f, want %.4f within %g", name, got, tc.want, tc.within)
		}
	}
}
