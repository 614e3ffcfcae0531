package flow_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/flow"
)

var rules = flow.ConcurrencyRules{Min: 64, Max: 20_000, Target: 10 * time.Millisecond, Tolerance: 4}

// store is a model: a commit takes a fixed time and some for each message in it.
type store struct{ fixed, each time.Duration }

func (s store) took(n int) time.Duration { return s.fixed + time.Duration(n)*s.each }

// settle runs steps with so many messages always there, and ends outside of a probe.
func settle(c *flow.Concurrency, s store, offered, steps int) {
	for i := 0; i < steps || c.Probing(); i++ {
		n := min(offered, c.Limit())
		c.Step(flow.Span{Messages: n, Took: s.took(n), Peak: n})
	}
}

func TestTheLimitFindsWhatKeepsTheTarget(t *testing.T) {
	t.Parallel()
	fast := store{time.Millisecond, 50 * time.Microsecond}
	c := flow.NewConcurrency(rules)
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
		c := flow.NewConcurrency(rules)
		settle(c, before, 100_000, 300)
		settle(c, slow, 100_000, 600)
		if n := c.Limit(); n < 4000 || n > 8000 {
			t.Errorf("slow %s: limit %d, want about 6,000 in 400 ms", name, n)
		}
	}
}

func TestLittleToDoLeavesTheLimit(t *testing.T) {
	t.Parallel()
	c := flow.NewConcurrency(rules)
	before := c.Limit()
	settle(c, store{time.Millisecond, 0}, 5, 1000)
	for range 100 {
		c.Step(flow.Span{})
	}
	if c.Limit() != before {
		t.Errorf("limit %d, was %d", c.Limit(), before)
	}
}

func TestShortMemoryShrinksTheLimit(t *testing.T) {
	t.Parallel()
	c := flow.NewConcurrency(rules)
	for range 30 {
		c.Step(flow.Span{Memory: 0.95})
	}
	if c.Limit() != rules.Min {
		t.Errorf("limit %d", c.Limit())
	}
}

func TestTheLimitStaysInItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := flow.NewConcurrency(rules)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			before := c.Limit()
			s := flow.Span{
				Messages: rapid.IntRange(0, 1e6).Draw(t, "messages"), Took: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "took")),
				Peak: rapid.IntRange(0, 1e6).Draw(t, "peak"), Memory: rapid.Float64Range(0, 2).Draw(t, "memory"),
			}
			n := c.Step(s)
			if n < rules.Min || n > rules.Max || n < before*6/10 && !c.Probing() {
				t.Fatalf("%d after %d and %+v", n, before, s)
			}
		}
	})
}
