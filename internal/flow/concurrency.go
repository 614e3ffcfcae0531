package flow

import (
	"math"
	"time"
)

// ConcurrencyRules bound how many messages are worked on at once.
type ConcurrencyRules struct {
	Min, Max  int           // of the limit
	Target    time.Duration // a message should be through within this
	Tolerance float64       // or within so many times what it takes with little to do, where the store is slower than Target
}

// Span is what was seen since the step before.
type Span struct {
	Messages int           // that came through
	Took     time.Duration // each, on average, from admission to the answer
	Peak     int           // most at once
	Memory   float64       // share of the memory in use
}

// Concurrency finds how many messages to work on at once: as many as keep the store busy, and no more, for what is beyond
// waits longer and is stored no sooner. The limit grows by its root while it is reached and messages come through in time,
// and shrinks with the excess when they do not. It is one owner's.
//
// A limit in time alone would choke a store that is slow by nature, or because others use its disk just now, and one that
// only compares with what was takes a long overload for the usual. So it has to be known what the store takes by itself. It
// shows while no more than the least are worked on; and in an overload one step in many works on no more than the least, to
// see it.
type Concurrency struct {
	rules ConcurrencyRules
	limit float64
	calm  float64 // what a message takes with no more than the least, in seconds; zero: not known
	full  int     // steps with a limit that was reached, since the store was last seen by itself
	probe int     // steps left of a probe: one to come down to the least, one to see the store
}

// NewConcurrency begins with some times the least: enough for a normal day, and soon corrected.
func NewConcurrency(r ConcurrencyRules) *Concurrency {
	return &Concurrency{rules: r, limit: float64(min(beginning*r.Min, r.Max))}
}

// Limit is how many may be worked on at once now.
func (c *Concurrency) Limit() int {
	if c.Probing() {
		return c.rules.Min
	}
	return int(c.limit)
}

// Probing says that this step is to see the store by itself: it should be a short one.
func (c *Concurrency) Probing() bool { return c.probe > 0 }

const (
	beginning   = 4
	learning    = 0.3  // of what is new, in what is learned
	shortMemory = 0.9  // of the memory in use: beyond it the limit shrinks whatever else is seen
	retreat     = 0.7  // the most that a step leaves of a limit that is too high
	easing      = 0.95 // and the least
	reached     = 0.9  // of the limit, to count as reached
	probeEvery  = 20   // steps in an overload: what a probe does not take along is then below a percent
)

// Step learns from a span and gives the new limit.
func (c *Concurrency) Step(s Span) int {
	c.learn(&s)
	if c.Probing() {
		c.probe--
		return c.Limit()
	}
	took := s.Took.Seconds()
	target := max(c.rules.Target.Seconds(), c.calm*c.rules.Tolerance)
	full := float64(s.Peak) >= c.limit*reached
	switch {
	case s.Memory > shortMemory:
		c.limit *= retreat
	case s.Messages == 0:
	case took > target:
		c.limit *= min(max(target/took, retreat), easing)
	case full:
		c.limit += math.Sqrt(c.limit)
	}
	c.limit = min(max(c.limit, float64(c.rules.Min)), float64(c.rules.Max))
	if full {
		c.full++
	}
	if c.full >= probeEvery {
		c.full, c.probe = 0, 2
	}
	return c.Limit()
}

// learn keeps what a message takes while no more than the least are worked on.
func (c *Concurrency) learn(s *Span) {
	if s.Messages == 0 || s.Peak > c.rules.Min {
		return
	}
	if c.calm == 0 {
		c.calm = s.Took.Seconds()
	}
	c.calm += learning * (s.Took.Seconds() - c.calm)
}
