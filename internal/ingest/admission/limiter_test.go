package admission_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

var rules = admission.LimiterRules{Min: 64, Max: 20_000, Target: 10 * time.Millisecond, Tolerance: 4}

// store is a model of a store: a commit takes a fixed time plus a time per message.
type store struct{ fixed, each time.Duration }

// latency returns the duration of a commit of n messages.
func (s store) latency(n int) time.Duration { return s.fixed + time.Duration(n)*s.each }

// settle runs steps at a constant number of offered messages, and ends outside of a probe.
func settle(c *admission.Limiter, s store, offered, steps int) {
	for i := 0; i < steps || c.Probing(); i++ {
		n := min(offered, c.Limit())
		c.Step(admission.Sample{Messages: n, Latency: s.latency(n), Peak: n})
	}
}

func TestLimiter_Overload_FindsLimitForTarget(t *testing.T) {
	t.Parallel()
	fast := store{time.Millisecond, 50 * time.Microsecond}
	c := admission.NewLimiter(rules)
	settle(c, fast, 100_000, 100)
	if n := c.Limit(); n < 270 || n > 350 {
		t.Errorf("got limit %d, want about 320: four times the baseline of 4.2 ms is the target", n)
	}
	settle(c, fast, 100_000, 100_000) // hours of overload do not become the baseline
	if n := c.Limit(); n < 270 || n > 350 {
		t.Errorf("after hours: got limit %d, want about 320", n)
	}
	settle(c, store{time.Millisecond, 10 * time.Microsecond}, 100_000, 200) // the store became faster
	if n := c.Limit(); n < 700 || n > 1000 {
		t.Errorf("got limit %d, want about 900", n)
	}
}

// TestLimiter_SlowStore_AllowsLargeBatches: a store whose commits take at least 100 ms gets large batches, even if it became slow during
// an overload.
func TestLimiter_SlowStore_AllowsLargeBatches(t *testing.T) {
	t.Parallel()
	slow := store{100 * time.Millisecond, 50 * time.Microsecond}
	for name, before := range map[string]store{"from the start": slow, "later": {time.Millisecond, 50 * time.Microsecond}} {
		c := admission.NewLimiter(rules)
		settle(c, before, 100_000, 300)
		settle(c, slow, 100_000, 600)
		if n := c.Limit(); n < 4000 || n > 8000 {
			t.Errorf("slow %s: got limit %d, want about 6,000 in 400 ms", name, n)
		}
	}
}

func TestLimiter_LowLoad_KeepsLimit(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	before := c.Limit()
	settle(c, store{time.Millisecond, 0}, 5, 1000)
	for range 100 {
		c.Step(admission.Sample{})
	}
	if c.Limit() != before {
		t.Errorf("got limit %d, want %d", c.Limit(), before)
	}
}

func TestLimiter_MemoryHigh_ShrinksToMin(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	for range 30 {
		c.Step(admission.Sample{Memory: 0.95})
	}
	if c.Limit() != rules.Min {
		t.Errorf("got limit %d, want %d", c.Limit(), rules.Min)
	}
}

func TestLimiter_AnySamples_StaysWithinBounds(t *testing.T) {
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
				t.Fatalf("got limit %d after %d and %+v, want it within its bounds and at least 0.6 of the previous", n, before, s)
			}
		}
	})
}

// fullSample returns a sample in which the limit was reached.
func fullSample(c *admission.Limiter, took time.Duration) admission.Sample {
	return admission.Sample{Messages: c.Limit(), Latency: took, Peak: c.Limit()}
}

// TestLimiter_Step_AdaptsLimit checks the effect of single steps.
func TestLimiter_Step_AdaptsLimit(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		before func(c *admission.Limiter)
		step   func(c *admission.Limiter) admission.Sample
		least  int // lowest limit after the step; it was 256
		most   int // highest limit after the step
	}{
		"fast and reached": {nil, func(c *admission.Limiter) admission.Sample { return fullSample(c, ms) }, 272, 272},
		"fast, not reached": {nil, func(c *admission.Limiter) admission.Sample {
			return admission.Sample{Messages: 10, Latency: ms, Peak: 200}
		}, 256, 256},
		"stalled store": {nil, func(c *admission.Limiter) admission.Sample {
			return admission.Sample{Peak: c.Limit()}
		}, 256, 256},
		"a little slow": {nil, func(c *admission.Limiter) admission.Sample { return fullSample(c, 10*ms+1) }, 230, 243},
		"far too slow":  {nil, func(c *admission.Limiter) admission.Sample { return fullSample(c, time.Second) }, 179, 179},
		"slow, but normal for this store": {func(c *admission.Limiter) {
			c.Step(admission.Sample{Messages: 1, Latency: 100 * ms, Peak: 1}) // sets the baseline
		}, func(c *admission.Limiter) admission.Sample { return fullSample(c, 300*ms) }, 272, 272},
		"normal for this store, after an idle time": {func(c *admission.Limiter) {
			c.Step(admission.Sample{Messages: 1, Latency: 100 * ms, Peak: 1})
			for range 100 {
				c.Step(admission.Sample{})
			}
		}, func(c *admission.Limiter) admission.Sample { return fullSample(c, 300*ms) }, 272, 272},
	} {
		limit := admission.NewLimiter(rules)
		if c.before != nil {
			c.before(limit)
		}
		if n := limit.Step(c.step(limit)); n < c.least || n > c.most {
			t.Errorf("%s: got limit %d after 256, want %d to %d", name, n, c.least, c.most)
		}
	}
}

// TestLimiter_Overload_ProbesTwoStepsInTwentyTwo: after twenty steps with a reached limit, two steps are a probe.
func TestLimiter_Overload_ProbesTwoStepsInTwentyTwo(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	probes := 0
	for range 22 * 10 {
		if c.Probing() {
			probes++
		}
		c.Step(fullSample(c, time.Millisecond))
	}
	if probes != 20 {
		t.Errorf("got %d probe steps of 220, want 20", probes)
	}
}

func TestLimiter_Fast_StopsAtMax(t *testing.T) {
	t.Parallel()
	c := admission.NewLimiter(rules)
	for range 1000 {
		c.Step(fullSample(c, time.Millisecond))
	}
	for c.Probing() {
		c.Step(admission.Sample{})
	}
	if c.Limit() != rules.Max {
		t.Errorf("got limit %d, want %d", c.Limit(), rules.Max)
	}
}
