package rounds

import (
	"fmt"
	"slices"
)

// Spread is the median of the values of all rounds with an interval around it.
type Spread struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Rounds     int     `json:"rounds"`
	Confidence float64 `json:"confidence"` // probability that the interval covers the true median, at least wanted unless it is all values
}

// wanted is the confidence that an interval has if there are enough rounds.
const wanted = 0.95

// Of returns the median and its interval. The interval is bounded by two of the values, and assumes only that rounds are
// independent: the number of values below the true median has a binomial distribution, whatever the values' distribution is.
// It is the narrowest symmetric one with a confidence of at least 0.95. Fewer than six values cannot reach that; the interval
// is then from the smallest to the largest value. Of panics if there are no values.
func Of(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	s := Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1], Rounds: n, Confidence: 1 - 2*atMost(n, 0)}
	for cut := 1; cut < n-cut; cut++ {
		confidence := 1 - 2*atMost(n, cut)
		if confidence < wanted {
			break
		}
		s.Low, s.High, s.Confidence = sorted[cut], sorted[n-1-cut], confidence
	}
	return s
}

// Ratios returns a[i]/b[i] for every round. It panics if a and b have different lengths.
func Ratios(a, b []float64) []float64 {
	if len(a) != len(b) {
		panic(fmt.Sprintf("rounds of two variants: %d and %d", len(a), len(b)))
	}
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// String returns the median and the interval, such as "1.21 (1.15 to 1.32)".
func (s Spread) String() string { return fmt.Sprintf("%.3g (%.3g to %.3g)", s.Median, s.Low, s.High) }

// atMost returns the probability of at most k heads in n throws of a fair coin.
func atMost(n, k int) float64 {
	ways, sum := 1.0, 0.0
	for i := range k + 1 {
		sum += ways
		ways = ways * float64(n-i) / float64(i+1)
	}
	for range n {
		sum /= 2
	}
	return sum
}
