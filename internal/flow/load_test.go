package flow_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/flow"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func TestLoadIsTheFullestPart(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 2, Rate: 1000, Memory: 1 << 30, Commit: 50 * time.Millisecond, Connections: 500})
	u := flow.Usage{At: start, Memory: 1 << 29, Queue: 10, QueueLimit: 100, Connections: 100}
	u.Commits, u.Committing = 5, 5*time.Second // since the start: they say nothing of now
	if l := m.Step(u); l != (flow.Load{Memory: 0.5, Queue: 0.1, Connections: 0.2}) || l.Score() != 0.5 {
		t.Errorf("first: %+v", l)
	}
	for range 20 { // long enough for the parts that fade
		u.At = u.At.Add(time.Second)
		u.CPU += 1800 * time.Millisecond
		u.Messages += 300
		u.Commits += 10
		u.Committing += 100 * time.Millisecond
	}
	l := m.Step(u)
	u.At = u.At.Add(time.Minute)
	if later := m.Step(u); !(later.Commit < 0.001) {
		t.Errorf("after a minute without a commit: %+v", later)
	}
	for name, part := range map[string][2]float64{
		"cpu": {l.CPU, 0.9}, "rate": {l.Rate, 0.3}, "commit": {l.Commit, 0.2}, "memory": {l.Memory, 0.5}, "score": {l.Score(), 0.9},
	} {
		if math.Abs(part[0]-part[1]) > 0.001 {
			t.Errorf("%s is %g, want %g", name, part[0], part[1])
		}
	}
}

func TestWhatIsNotCountedIsNoLoad(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{})
	m.Step(flow.Usage{At: start})
	if l := m.Step(flow.Usage{At: start.Add(time.Second), CPU: time.Hour, Messages: 1e6, Memory: 1e12, Queue: 1e6, Commits: 1, Committing: time.Hour, Connections: 1e6}); l != (flow.Load{}) {
		t.Errorf("%+v", l)
	}
}

func TestABurstShowsWithinSecondsAndFades(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 1})
	u := flow.Usage{At: start}
	m.Step(u)
	step := func(used time.Duration) float64 {
		u.At, u.CPU = u.At.Add(time.Second), u.CPU+used
		return m.Step(u).CPU
	}
	if first := step(time.Second); first < 0.3 || first > 0.5 {
		t.Errorf("after one full second: %g", first)
	}
	for range 5 {
		step(time.Second)
	}
	if full := step(time.Second); full < 0.95 {
		t.Errorf("after seven full seconds: %g", full)
	}
	for range 6 {
		step(0)
	}
	if idle := step(0); idle > 0.05 {
		t.Errorf("after seven idle seconds: %g", idle)
	}
}

// TestLoadStaysSane: whatever a clock or a counter does, no part is negative, infinite or not a number.
func TestLoadStaysSane(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := flow.NewLoadMeter(flow.Capacity{
			CPU: rapid.Float64Range(0, 64).Draw(t, "cores"), Rate: rapid.Float64Range(0, 1e5).Draw(t, "rate"), Memory: rapid.Int64Range(0, 1<<40).Draw(t, "memory"),
			Commit: time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "commit")), Connections: rapid.IntRange(0, 1e5).Draw(t, "connections"),
		})
		u := flow.Usage{At: start}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			u.At = u.At.Add(time.Duration(rapid.Int64Range(-1e9, 1e10).Draw(t, "later")))
			u.CPU += time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "cpu"))
			u.Messages += rapid.Uint64Range(0, 1e6).Draw(t, "calls")
			u.Commits += rapid.Uint64Range(0, 1e3).Draw(t, "commits")
			u.Committing += time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "committing"))
			u.Memory, u.Queue, u.QueueLimit, u.Connections = rapid.Int64Range(0, 1<<40).Draw(t, "bytes"), rapid.IntRange(0, 1e6).Draw(t, "waiting"), rapid.IntRange(0, 1e5).Draw(t, "limit"), rapid.IntRange(0, 1e6).Draw(t, "open")
			l := m.Step(u)
			for _, part := range []float64{l.CPU, l.Rate, l.Memory, l.Queue, l.Commit, l.Connections, l.Score()} {
				if part < 0 || math.IsInf(part, 0) || math.IsNaN(part) {
					t.Fatalf("%+v", l)
				}
			}
		}
	})
}

// TestTheScoreIsOfEveryPart: whichever is nearest to its end.
func TestTheScoreIsOfEveryPart(t *testing.T) {
	t.Parallel()
	for _, l := range []flow.Load{{CPU: 0.7}, {Rate: 0.7}, {Memory: 0.7}, {Queue: 0.7}, {Commit: 0.7}, {Connections: 0.7}} {
		if l.Score() != 0.7 {
			t.Errorf("%+v: %g", l, l.Score())
		}
	}
}

// TestNoPartIsForEver: a rate beyond all bounds fades as any, and a counter that goes back is no load below nothing.
func TestNoPartIsForEver(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 1, Rate: 1e-320})
	u := flow.Usage{At: start, CPU: time.Hour}
	m.Step(u)
	u.At, u.Messages, u.CPU = u.At.Add(time.Second), 1e6, 0
	if l := m.Step(u); l.Rate > 100 || l.CPU < 0 {
		t.Errorf("%+v", l)
	}
	u.At = u.At.Add(time.Minute)
	if l := m.Step(u); l.Rate > 0.01 {
		t.Errorf("a minute later: %+v", l)
	}
}
