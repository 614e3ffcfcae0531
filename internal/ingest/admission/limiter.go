package admission

import (
	"math"
	"time"
)

// LimiterRules are the bounds and the target of a Limiter.
type LimiterRules struct {
	Min, Max  int           // bounds of the limit, in messages
	Target    time.Duration // highest latency of a message that counts as fast
	Tolerance float64       // a latency below Tolerance times the baseline counts as fast too, for stores slower than Target
}

// tolerance is the Tolerance of a Controller: twice the latency of the idle store is a sign that the store is saturated.
const tolerance = 2

// Sample is what was measured since the previous step.
type Sample struct {
	Messages int           // messages released
	Latency  time.Duration // their mean latency from admission to release
	Peak     int           // most messages in flight at one moment
	Memory   float64       // share of the memory in use, 0 to 1
}

// Limiter adapts the limit on messages in flight to the measured latency: as many as keep the store busy and no more, because messages
// beyond that only wait. The limit grows by its square root while it is reached and the latency is low, and shrinks in proportion to the
// excess while the latency is high. A Limiter is not safe for concurrent use.
//
// A fixed latency target alone would starve a store that is slow by nature. Comparing with the recent past alone would take a long
// overload for normal. So the limiter needs the baseline, the latency of the idle store. It measures the baseline while no more than Min
// messages are in flight; during an overload one step in about twenty is a probe that lowers the limit to Min for this purpose.
type Limiter struct {
	rules        LimiterRules
	limit        float64
	baseline     float64 // moving average of the latency with at most Min in flight, in seconds; zero if unknown
	reachedSteps int     // steps in which the limit was reached, since the last probe
	probeSteps   int     // remaining steps of a probe: in the first the messages in flight fall to Min, in the second it measures
}

const (
	initialFactor  = 4    // initial limit in multiples of Min: enough for normal load, and soon corrected
	baselineWeight = 0.3  // weight of a new measurement in the baseline
	memoryHigh     = 0.9  // share of memory above which the limit shrinks regardless of the latency
	maxShrink      = 0.7  // lowest factor by which one step shrinks the limit
	minShrink      = 0.95 // highest factor by which one step shrinks the limit
	reachedShare   = 0.9  // share of the limit from which on it counts as reached
	probeInterval  = 20   // steps with a reached limit before a probe, so that probes cost less than one percent
)

// NewLimiter returns a limiter that starts at four times the minimum.
func NewLimiter(r LimiterRules) *Limiter {
	return &Limiter{rules: r, limit: float64(min(initialFactor*r.Min, r.Max))}
}

// Limit returns the number of messages that may be in flight now.
func (l *Limiter) Limit() int {
	if l.Probing() {
		return l.rules.Min
	}
	return int(l.limit)
}

// Probing reports whether the current step is part of a probe. Its interval should be short.
func (l *Limiter) Probing() bool { return l.probeSteps > 0 }

// Step adapts the limit to a sample and returns the new limit.
func (l *Limiter) Step(s Sample) int {
	l.updateBaseline(s)
	if l.Probing() {
		l.probeSteps--
		return l.Limit()
	}
	reached := float64(s.Peak) >= l.limit*reachedShare
	l.limit = min(max(l.adapted(s, reached), float64(l.rules.Min)), float64(l.rules.Max))
	if reached {
		l.reachedSteps++
	}
	if l.reachedSteps >= probeInterval {
		l.reachedSteps = 0
		l.probeSteps = 2
	}
	return l.Limit()
}

// adapted returns the limit after the sample, before it is brought within its bounds.
func (l *Limiter) adapted(s Sample, reached bool) float64 {
	if s.Memory > memoryHigh {
		return l.limit * maxShrink
	}
	if s.Messages == 0 {
		return l.limit
	}
	latency := s.Latency.Seconds()
	target := max(l.rules.Target.Seconds(), l.baseline*l.rules.Tolerance)
	if latency > target {
		return l.limit * min(max(target/latency, maxShrink), minShrink)
	}
	if reached {
		return l.limit + math.Sqrt(l.limit)
	}
	return l.limit
}

// updateBaseline updates the baseline if at most Min messages were in flight.
func (l *Limiter) updateBaseline(s Sample) {
	if s.Messages == 0 || s.Peak > l.rules.Min {
		return
	}
	latency := s.Latency.Seconds()
	if l.baseline == 0 {
		l.baseline = latency
	}
	l.baseline += baselineWeight * (latency - l.baseline)
}
