// Package duration parses durations in flags and files: the units of time.ParseDuration, and days and weeks. It does not format durations.
//
// Concurrency: Parse may be called from any goroutine.
package duration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units maps the name of a unit to its length. A day has 24 hours.
var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// Parse parses one or more numbers with their units: 90s, 1h30m, 30d, 2w, 1.5d. "0" needs no unit. The error names the text and gives an
// example.
func Parse(text string) (time.Duration, error) {
	rest := strings.TrimSpace(text)
	negative := strings.HasPrefix(rest, "-")
	rest = strings.TrimLeft(rest, "+-")
	if rest == "0" {
		return 0, nil
	}
	if rest == "" || len(strings.TrimSpace(text))-len(rest) > 1 {
		return 0, invalid(text)
	}
	total := 0.0
	for rest != "" {
		digits := strings.TrimLeft(rest, "0123456789.")
		number, err := strconv.ParseFloat(rest[:len(rest)-len(digits)], 64)
		if err != nil {
			return 0, invalid(text)
		}
		name := digits
		if end := strings.IndexAny(digits, "0123456789."); end >= 0 {
			name = digits[:end]
		}
		unit, ok := units[name]
		if !ok {
			return 0, invalid(text)
		}
		total += number * float64(unit)
		rest = digits[len(name):]
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is longer than 292 years", text)
	}
	if negative {
		total = -total
	}
	return time.Duration(math.Round(total)), nil
}

func invalid(text string) error {
	return fmt.Errorf("%q is not a duration; write a number and a unit, such as 90s, 1h30m, 30d or 2w", text)
}
