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
// A limit in time alone would choke a store that is slow by nature, and one that only compares with what was takes a long
// overload for the usual. So what a message takes with little to do is learned only while there is little to do, or
// while the limit is at its least: then it is the store that takes the time, and not the others.
type Concurrency struct {
	rules ConcurrencyRules
	limit float64
	calm  float64 // what a message takes with little to do, in seconds; zero: not known
}

// NewConcurrency begins in the middle: enough for a normal day, and soon corrected.
func NewConcurrency(r ConcurrencyRules) *Concurrency {
	return &Concurrency{rules: r, limit: math.Sqrt(float64(r.Min) * float64(r.Max))}
}

// Limit is how many may be worked on at once now.
func (c *Concurrency) Limit() int { return int(c.limit) }

const (
	learning    = 0.1  // of what is new, in what is learned
	shortMemory = 0.9  // of the memory in use: beyond it the limit shrinks whatever else is seen
	retreat     = 0.7  // the most that a step takes away
	reached     = 0.9  // of the limit, to count as reached
	farFrom     = 0.5  // of the limit, to count as little to do
	easing      = 0.95 // the least that a step takes away
)

// Step learns from a span and gives the new limit.
func (c *Concurrency) Step(s Span) int {
	least, most := float64(c.rules.Min), float64(c.rules.Max)
	took := s.Took.Seconds()
	if s.Messages > 0 {
		c.learn(took, float64(s.Peak) < c.limit*farFrom || c.limit <= least)
	}
	target := max(c.rules.Target.Seconds(), c.calm*c.rules.Tolerance)
	switch {
	case s.Memory > shortMemory:
		c.limit *= retreat
	case s.Messages == 0:
	case took > target:
		c.limit *= min(max(target/took, retreat), easing)
	case float64(s.Peak) >= c.limit*reached:
		c.limit += math.Sqrt(c.limit)
	}
	c.limit = min(max(c.limit, least), most)
	return c.Limit()
}

func (c *Concurrency) learn(took float64, calm bool) {
	switch {
	case took < c.calm || calm && c.calm == 0:
		c.calm = took
	case calm:
		c.calm += learning * (took - c.calm)
	}
}
