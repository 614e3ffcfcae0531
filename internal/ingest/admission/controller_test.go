package admission_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

// start is an arbitrary time; the controller has no clock of its own.
var start = time.UnixMilli(1_800_000_000_000)

// newController returns a controller with a fixed limit and room for ten waiting messages.
func newController(limit int) *admission.Controller {
	return admission.New(admission.Options{
		QueueMessages: 10, QueueBytes: 1000, MinInFlight: limit, MaxInFlight: limit, Target: time.Second, LongWait: time.Second,
		RunnablePerCPU: func() float64 { return 0 }, MemoryUsed: func() float64 { return 0 },
	}, start)
}

func newCall(level esh3ar.Level, since time.Time) *admission.Call {
	return &admission.Call{Level: level, Messages: 1, Bytes: 1, Since: since}
}

// TestController_Call_PassesThroughItsStates follows one call that waits for another.
func TestController_Call_PassesThroughItsStates(t *testing.T) {
	t.Parallel()
	c := newController(1)
	first, second := newCall(esh3ar.Basic, start), newCall(esh3ar.Basic, start)
	want := func(when string, first1, second1 admission.State) {
		t.Helper()
		if first.State() != first1 || second.State() != second1 {
			t.Errorf("%s: got states %d and %d, want %d and %d", when, first.State(), second.State(), first1, second1)
		}
	}
	c.Admit(first)
	c.Admit(second)
	want("after Admit", admission.Admitted, admission.Waiting)
	if next := c.Next(start); next != nil {
		t.Errorf("Next at the limit: got %+v, want nil", next)
	}
	c.Release(first, start, true)
	want("after Release", admission.Released, admission.Waiting)
	if next := c.Next(start); next != second {
		t.Errorf("Next below the limit: got %+v, want the waiting call", next)
	}
	want("after Next", admission.Released, admission.Admitted)
	c.Release(second, start, true)
	c.Release(second, start, true) // no effect
	if s := c.Stats(); s.InFlight != 0 || s.Waiting != 0 || s.Shed != [esh3ar.Levels]uint64{} {
		t.Errorf("at the end: got %+v, want no call", s)
	}
}

// TestController_AnyHistory_KeepsItsCounts draws histories and compares the controller with the list of all calls.
func TestController_AnyHistory_KeepsItsCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		c := newController(limit)
		now := start
		var calls []*admission.Call
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0, 1:
				call := newCall(esh3ar.Level(rapid.IntRange(0, esh3ar.Levels-1).Draw(t, "level")), now)
				call.Priority = esh3ar.Priority(rapid.IntRange(0, esh3ar.Priorities-1).Draw(t, "priority"))
				call.Messages = rapid.IntRange(1, 4).Draw(t, "messages")
				state, evicted := c.Admit(call)
				if state != call.State() {
					t.Fatalf("Admit returned state %d, the call has %d", state, call.State())
				}
				for _, e := range evicted {
					if e.State() != admission.Released || e.Level > call.Level || e.Level == call.Level && e.Priority >= call.Priority {
						t.Fatalf("evicted %+v for %+v, want a released call of lower level or priority", e, call)
					}
				}
				calls = append(calls, call)
			case 2:
				if len(calls) > 0 {
					c.Release(rapid.SampledFrom(calls).Draw(t, "call"), now, rapid.Bool().Draw(t, "stored"))
				}
			case 3:
				c.Tick(now)
			}
			for next := c.Next(now); next != nil; next = c.Next(now) {
				if before := c.Stats().InFlight - next.Messages; next.State() != admission.Admitted || before >= limit {
					t.Fatalf("Next admitted %+v with %d of %d messages in flight", next, before, limit)
				}
			}
			inFlight, waiting := 0, 0
			for _, call := range calls {
				if call.State() == admission.Admitted {
					inFlight += call.Messages
				}
				if call.State() == admission.Waiting {
					waiting += call.Messages
				}
			}
			if s := c.Stats(); s.InFlight != inFlight || s.Waiting != waiting || waiting > 10 {
				t.Fatalf("got %+v, want %d in flight and %d waiting, at most 10", s, inFlight, waiting)
			}
			calls = slices.DeleteFunc(calls, func(call *admission.Call) bool { return call.State() == admission.Released })
		}
		if removed := c.RemoveAll(); c.Stats().Waiting != 0 || slices.ContainsFunc(removed, func(call *admission.Call) bool { return call.State() != admission.Released }) {
			t.Fatalf("RemoveAll: got %d waiting, want none", c.Stats().Waiting)
		}
	})
}
