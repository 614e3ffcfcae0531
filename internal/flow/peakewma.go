package flow

import (
	"math"
	"time"
)

// PeakEWMA is a moving average of latencies that rises faster than it falls. A sample above the average raises it at once; samples below
// lower it with the time constant Fall. Without samples it falls to zero, so that a server that was slow is tried again.
//
// One sample raises the average to at most maxRise times its value. So two slow answers in a row count in full, but a single pause of a
// garbage collector does not.
type PeakEWMA struct {
	Fall  time.Duration // time constant of the fall
	value float64       // average at the time at, in ns
	at    time.Time     // time of the last sample; zero before the first
}

const (
	// maxRise is the factor by which one sample raises the average at most.
	maxRise = 4
	// noiseFloor is the smallest average that maxRise is applied to: differences below a millisecond are noise.
	noiseFloor = time.Millisecond
)

// Observe adds a sample.
func (p *PeakEWMA) Observe(now time.Time, sample time.Duration) {
	s := float64(sample)
	switch {
	case p.at.IsZero():
		p.value = s
	case s > p.value:
		p.value = min(s, maxRise*max(p.value, float64(noiseFloor)))
	default:
		decay := p.decay(now)
		p.value = p.value*decay + s*(1-decay)
	}
	p.at = now
}

// Value returns the average at the time now; zero before the first sample.
func (p *PeakEWMA) Value(now time.Time) time.Duration {
	if p.at.IsZero() {
		return 0
	}
	return time.Duration(p.value * p.decay(now))
}

// decay returns the factor by which the average has fallen since the last sample.
func (p *PeakEWMA) decay(now time.Time) float64 {
	since := max(0, now.Sub(p.at)) // callers may pass times that are slightly out of order
	return math.Exp(-float64(since) / float64(p.Fall))
}
