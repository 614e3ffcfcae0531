package balance

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// TestWhatMakesARow of broken calls: any answer ends it, also one that says that the node cannot, or whose time says nothing. That
// a caller left does not, and that the node was away does.
func TestWhatMakesARow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(l *lab)
		want    State
	}{
		"a call that was answered":  {func(l *lab) { l.call("a", Answered) }, Up},
		"a batch that was answered": {func(l *lab) { l.call("a", Heard) }, Up},
		"a call that it could not":  {func(l *lab) { l.call("a", Sick) }, Up},
		"a caller who left":         {func(l *lab) { l.call("a", Unmeasured) }, Ejected},
		"it was away": {func(l *lab) {
			l.call("a", Refused)
			l.check("a", Check{})
		}, Up},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, Rules{Failures: 5}, "a", "b")
			l.check("a", Check{})
			for range 4 {
				l.call("a", Broken)
			}
			c.between(l)
			l.call("a", Broken)
			l.want("a", c.want)
		})
	}
}

// TestWhoLeavesProvesNothing: a node that is silent is down although its callers leave it; that it answers batches shows that it is not.
func TestWhoLeavesProvesNothing(t *testing.T) {
	t.Parallel()
	for v, want := range map[Verdict]State{Unmeasured: Down, Heard: Up} {
		l := newLab(t, Rules{Checks: 2}, "a")
		l.check("a", Check{})
		for range 2 {
			began := l.now
			l.now = l.now.Add(time.Second)
			l.call("a", v)
			l.check("a", Check{Began: began, Err: "timeout"})
		}
		l.want("a", want)
	}
}

// TestABatchIsNotTimed: what it took says nothing of a call.
func TestABatchIsNotTimed(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a")
	l.call("a", Heard)
	if latency := l.node("a").latency.Value(l.now); latency != 0 {
		t.Errorf("%s", latency)
	}
}

// TestChecksInARow: any word of the node ends a row of checks without one.
func TestChecksInARow(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Checks: 2, Failures: 1}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	l.check("a", Check{Err: "timeout"})
	l.check("a", Check{NotReady: true})
	l.check("a", Check{Err: "timeout"})
	l.want("a", NotReady)
	l.call("b", Broken)
	l.check("b", Check{Err: "timeout"})
	l.check("b", Check{}) // before its pause is over
	l.check("b", Check{Err: "timeout"})
	l.want("b", Ejected)
}

// TestWhatBreaksWithANode that is down, as what is cut off there, does not eject it: it is back with its next good check.
func TestWhatBreaksWithANode(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Failures: 5}, "a", "b")
	l.check("a", Check{})
	n := l.node("a")
	for range 6 {
		l.Take(l.now, n, Call)
	}
	l.call("a", Refused)
	for range 6 {
		l.End(l.now, n, Call, Broken, 0)
	}
	l.want("a", Down)
	l.check("a", Check{})
	l.want("a", Up)
}

// TestThePauseGrows until the trial is passed: what is answered late, after the node was ejected again, is no part of that.
func TestThePauseGrows(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Failures: 1, Trial: 2, Pause: flow.Backoff{Base: 2 * time.Second, Cap: time.Minute}}, "a", "b")
	l.check("a", Check{})
	n := l.node("a")
	after := func(pause time.Duration) {
		t.Helper()
		l.now = l.now.Add(pause - 1)
		l.check("a", Check{})
		l.want("a", Ejected)
		l.now = l.now.Add(1)
		l.check("a", Check{})
		l.want("a", Up)
	}
	l.call("a", Broken)
	after(time.Second)
	for range 2 {
		l.Take(l.now, n, Call)
	}
	l.call("a", Broken)
	for range 2 {
		l.End(l.now, n, Call, Answered, time.Millisecond)
	}
	after(2 * time.Second)
	l.call("a", Broken)
	after(4 * time.Second)
	for range 2 {
		l.call("a", Answered)
	}
	l.call("a", Broken)
	after(time.Second)
}
