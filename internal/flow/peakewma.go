package flow

import (
	"math"
	"time"
)

// PeakEWMA is a moving average of latencies that believes bad news sooner than good news: a sample above it lifts it at
// once, samples below bring it down with the time constant Fall. Without samples it falls to nothing, so that who was slow
// is tried again.
//
// One sample lifts it to at most maxRise times itself: two slow answers in a row count in full, a single pause of a
// garbage collector does not.
type PeakEWMA struct {
	Fall  time.Duration
	value float64 // ns
	at    time.Time
}

const (
	maxRise = 4
	// riseFrom is what the smallest average may rise from: below a millisecond everything is noise.
	riseFrom = time.Millisecond
)

// Observe takes a sample.
func (p *PeakEWMA) Observe(now time.Time, sample time.Duration) {
	s := float64(sample)
	switch {
	case p.at.IsZero():
		p.value = s
	case s > p.value:
		p.value = min(s, maxRise*max(p.value, float64(riseFrom)))
	default:
		keep := p.keep(now)
		p.value = p.value*keep + s*(1-keep)
	}
	p.at = now
}

// Value is the average now; zero before the first sample.
func (p *PeakEWMA) Value(now time.Time) time.Duration {
	if p.at.IsZero() {
		return 0
	}
	return time.Duration(p.value * p.keep(now))
}

// keep is the share of the old average that the time since leaves of it.
func (p *PeakEWMA) keep(now time.Time) float64 {
	since := max(0, now.Sub(p.at)) // a clock of several callers may seem to go back
	return math.Exp(-float64(since) / float64(p.Fall))
}
