package duration_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/duration"
)

const day = 24 * time.Hour

// TestParse_Values parses days and weeks, and the units of Go.
func TestParse_Values(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "-0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "30d": 30 * day, "2w": 14 * day, "1.5d": 36 * time.Hour,
		"1d12h": 36 * time.Hour, "1w1d": 8 * day, " 5m ": 5 * time.Minute, "-1d": -day, "+3d": 3 * day, "1500ms": 1500 * time.Millisecond, "20µs": 20 * time.Microsecond,
		".5h": 30 * time.Minute, "100000d": 100000 * day,
	} {
		if got, err := duration.Parse(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
}

// TestParse_Nonsense_IsRefused checks that the error names the text.
func TestParse_Nonsense_IsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "5", "d", "1x", "1D", "30 d", "--1d", "1.2.3h", "1e3s", "NaNs", "∞d", "1d-2h", "200000d0.1", "9999999w", "1 day"} {
		if got, err := duration.Parse(text); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("%q: got %s, %v, want an error that names the text", text, got, err)
		}
	}
}

// TestParse_DurationString_RoundTrips to the microsecond.
func TestParse_DurationString_RoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(-int64(40000*day), int64(40000*day)).Draw(t, "d")).Round(time.Microsecond)
		got, err := duration.Parse(want.String())
		if diff := (got - want).Abs(); err != nil || diff > time.Microsecond {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	})
}
