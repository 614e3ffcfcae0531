package bench

import (
	"math"
	"strings"
	"testing"
)

const someBuckets = `# HELP esh3ar_delivery_push_seconds help
esh3ar_delivery_push_seconds_bucket{le="0.001"} 10
esh3ar_delivery_push_seconds_bucket{le="0.01"} 90
esh3ar_delivery_push_seconds_bucket{le="0.1"} 100
esh3ar_delivery_push_seconds_bucket{le="+Inf"} 100
esh3ar_delivery_push_seconds_sum 1
esh3ar_other_seconds_bucket{le="0.001"} 7
`

func readStages(t *testing.T, texts ...string) stages {
	t.Helper()
	s := stages{}
	for _, text := range texts {
		if err := s.add(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStages_Quantile_InterpolatesWithinBucket(t *testing.T) {
	t.Parallel()
	s := readStages(t, someBuckets)
	for q, want := range map[float64]float64{0.05: 0.5, 0.5: 1 + 9*40.0/80, 0.95: 10 + 90*0.5} {
		got, err := s.quantile(stages{}, pushStage, q)
		if err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v: got %v ms, %v, want %v ms", q, got, err, want)
		}
	}
}

func TestStages_Quantile_CountsOnlyBetweenReadings(t *testing.T) {
	t.Parallel()
	before := readStages(t, someBuckets)
	after := readStages(t, someBuckets, strings.NewReplacer(`le="0.001"} 10`, `le="0.001"} 0`, `le="0.01"} 90`, `le="0.01"} 0`).Replace(someBuckets))
	got, err := after.quantile(before, pushStage, 0.5)
	if want := 10 + 90*0.5; err != nil || math.Abs(got-want) > 1e-9 {
		t.Errorf("got %v ms, %v, want %v ms", got, err, want)
	}
	if _, err := before.quantile(before, pushStage, 0.5); err == nil {
		t.Error("no error where nothing was measured")
	}
	if _, err := before.quantile(stages{}, routeStage, 0.5); err == nil {
		t.Error("no error where a histogram is missing")
	}
}

func TestStages_Quantile_BeyondLastBound_IsThatBound(t *testing.T) {
	t.Parallel()
	s := readStages(t, strings.ReplaceAll(someBuckets, `le="+Inf"} 100`, `le="+Inf"} 1000`))
	if got, err := s.quantile(stages{}, pushStage, 0.99); err != nil || got != 100 {
		t.Errorf("got %v ms, %v, want 100 ms", got, err)
	}
}

func TestStages_Add_MalformedBucket_Fails(t *testing.T) {
	t.Parallel()
	if err := (stages{}).add(strings.NewReader(pushStage + `_bucket{le="x"} 1` + "\n")); err == nil {
		t.Error("no error for a bound that is not a number")
	}
}
