package bench

import "slices"

// trend returns by which share of their median the values grow over their second half: the slope of Theil and Sen, the median of
// the slopes of all pairs, which single outliers do not change. The first half is the time in which caches fill. It is zero for
// less than four values and if the median is zero.
func trend(values []float64) float64 {
	half := values[len(values)/2:]
	if len(values) < 4 {
		return 0
	}
	var slopes []float64
	for i := range half {
		for j := i + 1; j < len(half); j++ {
			slopes = append(slopes, (half[j]-half[i])/float64(j-i))
		}
	}
	middle := middleOf(half)
	if middle == 0 {
		return 0
	}
	return middleOf(slopes) * float64(len(half)-1) / middle
}

// middleOf returns the median.
func middleOf(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
