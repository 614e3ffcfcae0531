package admission_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

var rules = admission.LimiterRules{Min: 64, Max: 20_000, Target: 10 * time.Millisecond, Tolerance: 4}

// store is a model: a commit takes a fixed time and some for each message in it.
type store struct{ fixed, each time.Duration }

func (s store) took(n int) time.Duration { return s.fixed + time.Duration(n)*s.each }

// settle runs steps with so many messages always there, and ends outside of a probe.
func settle(c *admission.Limiter, s store, offered, steps int) {
	for i := 0; i < steps || c.Probing(); i++ {
		n := min(offered, c.Limit())
		c.Step(admission.Sample{Messages: n, Latency: s.took(n), Peak: n})
	}
}

func TestTheLimitFindsWhatKeepsTheTarget(t *testing.T) {
	t.Parallel()
	fast := store{time.Millisecond, 50 * time.Microsecond}
	c := admission.NewLimiter(rules)
	settle(c, fast, 100_000, 100)
	if n := c.Limit(); n < 270 || n > 350 {
		t.Errorf("limit %d, want about 320: the least take 4.2 ms, four times that is the target", n)
	}
	settle(c, fast, 100_000, 100_000) // hours of overload are not taken for the usual
	if n := c.Limit(); n < 270 || n > 350 {
		t.Errorf("after hours: limit %d, want about 320", n)
	}
	settle(c, store{time.Millisecond, 10 * time.Microsecond}, 100_000, 200) // it became faster
	if n := c.Limit(); n < 700 || n > 1000 {
		t.Errorf("limit %d, want about 900", n)
	}
}

// TestASlowStoreIsNotChoked: a store whose every commit takes 100 ms gets large batches all the same, also when it became
// slow in the middle of an overload.
func TestASlowStoreIsNotChoked(t *testing.T) {
	t.Parallel()
	slow := store{100 * time.Millisecond, 50 * time.Microsecond}
	for name, before := range map[string]store{"from the first": slow, "of a sudden": {time.Millisecond, 50 * time.Microsecond}} {
		c := admission.NewLimiter(rules)
		settle(c, before, 100_000, 300)
		settle(c, slow, 100_000, 600)
		if n := c.Limit(); n < 4000 || n > 8000 {
			t.Errorf("slow %s: limit %d, want about 6,000 in 400 ms", name, n)
		}
	}
}

func TestLittleToDoLeavesTheLimit(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	before := c.Limit()
	settle(c, store{time.Millisecond, 0}, 5, 1000)
	for range 100 {
		c.Step(admission.Sample{})
	}
	if c.Limit() != before {
		t.Errorf("limit %d, was %d", c.Limit(), before)
	}
}

func TestShortMemoryShrinksTheLimit(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	for range 30 {
		c.Step(admission.Sample{Memory: 0.95})
	}
	if c.Limit() != rules.Min {
		t.Errorf("limit %d", c.Limit())
	}
}

func TestTheLimitStaysInItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := admission.NewLimiter(rules)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			before := c.Limit()
			s := admission.Sample{
				Messages: rapid.IntRange(0, 1e6).Draw(t, "messages"), Latency: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "took")),
				Peak: rapid.IntRange(0, 1e6).Draw(t, "peak"), Memory: rapid.Float64Range(0, 2).Draw(t, "memory"),
			}
			n := c.Step(s)
			if n < rules.Min || n > rules.Max || n < before*6/10 && !c.Probing() {
				t.Fatalf("%d after %d and %+v", n, before, s)
			}
		}
	})
}

// span is one step with all the room taken.
func span(c *admission.Limiter, took time.Duration) admission.Sample {
	return admission.Sample{Messages: c.Limit(), Latency: took, Peak: c.Limit()}
}

// TestOneStep: what it does to the limit, beside how it settles.
func TestOneStep(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		before func(c *admission.Limiter)
		step   func(c *admission.Limiter) admission.Sample
		least  int // of 256
		most   int
	}{
		"in time and reached": {nil, func(c *admission.Limiter) admission.Sample { return span(c, ms) }, 272, 272},
		"in time, not reached": {nil, func(c *admission.Limiter) admission.Sample {
			return admission.Sample{Messages: 10, Latency: ms, Peak: 200}
		}, 256, 256},
		"a store that stands still": {nil, func(c *admission.Limiter) admission.Sample {
			return admission.Sample{Peak: c.Limit()}
		}, 256, 256},
		"a little late": {nil, func(c *admission.Limiter) admission.Sample { return span(c, 10*ms+1) }, 230, 243},
		"far too late":  {nil, func(c *admission.Limiter) admission.Sample { return span(c, time.Second) }, 179, 179},
		"late, but not for this store": {func(c *admission.Limiter) {
			c.Step(admission.Sample{Messages: 1, Latency: 100 * ms, Peak: 1}) // the first that is known of it
		}, func(c *admission.Limiter) admission.Sample { return span(c, 300*ms) }, 272, 272},
		"the same after an idle time": {func(c *admission.Limiter) {
			c.Step(admission.Sample{Messages: 1, Latency: 100 * ms, Peak: 1})
			for range 100 {
				c.Step(admission.Sample{})
			}
		}, func(c *admission.Limiter) admission.Sample { return span(c, 300*ms) }, 272, 272},
	} {
		limit := admission.NewLimiter(rules)
		if c.before != nil {
			c.before(limit)
		}
		if n := limit.Step(c.step(limit)); n < c.least || n > c.most {
			t.Errorf("%s: from 256 to %d, want %d to %d", name, n, c.least, c.most)
		}
	}
}

// TestProbesAreFew: two steps after twenty in an overload, the first to come down, and none without.
func TestProbesAreFew(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	probes := 0
	for range 22 * 10 {
		if c.Probing() {
			probes++
		}
		c.Step(span(c, time.Millisecond))
	}
	if probes != 20 {
		t.Errorf("%d of 220 steps are probes, want 20", probes)
	}
}

// TestTheMost is reached and not passed.
func TestTheMost(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	for range 1000 {
		c.Step(span(c, time.Millisecond))
	}
	for c.Probing() {
		c.Step(admission.Sample{})
	}
	if c.Limit() != rules.Max {
		t.Errorf("limit %d", c.Limit())
	}
}
