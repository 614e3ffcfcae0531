package flow_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/flow"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func TestLoadMeter_Steps_MeasureEachPart(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 2, Rate: 1000, Memory: 1 << 30, Commit: 50 * time.Millisecond, Connections: 500})
	u := flow.Usage{At: start, Memory: 1 << 29, Queue: 10, QueueLimit: 100, Connections: 100}
	u.Commits = 5
	u.Committing = 5 * time.Second // before the first step: not measured
	if l := m.Step(u); l != (flow.Load{Memory: 0.5, Queue: 0.1, Connections: 0.2}) || l.Score() != 0.5 {
		t.Errorf("first step: got %+v, want memory 0.5, queue 0.1, connections 0.2", l)
	}
	for range 20 { // long enough for the moving averages
		u.At = u.At.Add(time.Second)
		u.CPU += 1800 * time.Millisecond
		u.Messages += 300
		u.Commits += 10
		u.Committing += 100 * time.Millisecond
	}
	l := m.Step(u)
	u.At = u.At.Add(time.Minute)
	if later := m.Step(u); !(later.Commit < 0.001) {
		t.Errorf("after a minute without commits: got %+v, want commit near 0", later)
	}
	for name, part := range map[string][2]float64{
		"cpu": {l.CPU, 0.9}, "rate": {l.Rate, 0.3}, "commit": {l.Commit, 0.2}, "memory": {l.Memory, 0.5}, "score": {l.Score(), 0.9},
	} {
		if math.Abs(part[0]-part[1]) > 0.001 {
			t.Errorf("%s: got %g, want %g", name, part[0], part[1])
		}
	}
}

func TestLoadMeter_NoCapacity_ReportsNoLoad(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{})
	m.Step(flow.Usage{At: start})
	if l := m.Step(flow.Usage{At: start.Add(time.Second), CPU: time.Hour, Messages: 1e6, Memory: 1e12, Queue: 1e6, Commits: 1, Committing: time.Hour, Connections: 1e6}); l != (flow.Load{}) {
		t.Errorf("got %+v, want zero", l)
	}
}

func TestLoadMeter_Burst_RisesAndFallsWithinSeconds(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 1})
	u := flow.Usage{At: start}
	m.Step(u)
	step := func(used time.Duration) float64 {
		u.At, u.CPU = u.At.Add(time.Second), u.CPU+used
		return m.Step(u).CPU
	}
	if first := step(time.Second); first < 0.3 || first > 0.5 {
		t.Errorf("after one busy second: got %g, want 0.3 to 0.5", first)
	}
	for range 5 {
		step(time.Second)
	}
	if full := step(time.Second); full < 0.95 {
		t.Errorf("after seven busy seconds: got %g, want at least 0.95", full)
	}
	for range 6 {
		step(0)
	}
	if idle := step(0); idle > 0.05 {
		t.Errorf("after seven idle seconds: got %g, want at most 0.05", idle)
	}
}

// TestLoadMeter_AnyUsage_StaysFinite: whatever the clock and the counters do, no part is negative, infinite or NaN.
func TestLoadMeter_AnyUsage_StaysFinite(t *testing.T) {
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
			u.Memory = rapid.Int64Range(0, 1<<40).Draw(t, "bytes")
			u.Queue = rapid.IntRange(0, 1e6).Draw(t, "waiting")
			u.QueueLimit = rapid.IntRange(0, 1e5).Draw(t, "limit")
			u.Connections = rapid.IntRange(0, 1e6).Draw(t, "open")
			l := m.Step(u)
			for _, part := range []float64{l.CPU, l.Rate, l.Memory, l.Queue, l.Commit, l.Connections, l.Score()} {
				if part < 0 || math.IsInf(part, 0) || math.IsNaN(part) {
					t.Fatalf("got %+v, want finite parts of at least 0", l)
				}
			}
		}
	})
}

func TestLoad_Score_IsTheMostLoadedPart(t *testing.T) {
	t.Parallel()
	for _, l := range []flow.Load{{CPU: 0.7}, {Rate: 0.7}, {Memory: 0.7}, {Queue: 0.7}, {Commit: 0.7}, {Connections: 0.7}} {
		if l.Score() != 0.7 {
			t.Errorf("%+v: got score %g, want 0.7", l, l.Score())
		}
	}
}

// TestLoadMeter_InfiniteRate_Fades: an infinite rate fades like any other, and a counter that decreases gives no negative load.
func TestLoadMeter_InfiniteRate_Fades(t *testing.T) {
	t.Parallel()
	m := flow.NewLoadMeter(flow.Capacity{CPU: 1, Rate: 1e-320})
	u := flow.Usage{At: start, CPU: time.Hour}
	m.Step(u)
	u.At = u.At.Add(time.Second)
	u.Messages = 1e6
	u.CPU = 0
	if l := m.Step(u); l.Rate > 100 || l.CPU < 0 {
		t.Errorf("got %+v, want rate at most 100 and CPU at least 0", l)
	}
	u.At = u.At.Add(time.Minute)
	if l := m.Step(u); l.Rate > 0.01 {
		t.Errorf("a minute later: got %+v, want rate near 0", l)
	}
}
