package balance

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// TestVerdict_AnyAnswer_ResetsBrokenCalls checks that any answer resets the count of broken calls, even a server error or one
// without a meaningful latency. A disconnect of the client does not; a recovery of the node does.
func TestVerdict_AnyAnswer_ResetsBrokenCalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(l *lab)
		want    State
	}{
		"a call that was answered":  {func(l *lab) { l.call("a", Answered) }, Up},
		"a batch that was answered": {func(l *lab) { l.call("a", AnsweredUntimed) }, Up},
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

// TestVerdict_ClientDisconnects_IsNeutral checks that a silent node becomes down even if clients disconnect, and that a node that
// answers batches does not.
func TestVerdict_ClientDisconnects_IsNeutral(t *testing.T) {
	t.Parallel()
	for v, want := range map[Verdict]State{Unmeasured: Down, AnsweredUntimed: Up} {
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

// TestVerdict_Batch_HasNoLatency checks that the duration of a batch does not count as a latency.
func TestVerdict_Batch_HasNoLatency(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a")
	l.call("a", AnsweredUntimed)
	if latency := l.node("a").latency.Value(l.now); latency != 0 {
		t.Errorf("%s", latency)
	}
}

// TestCheck_AnyAnswer_ResetsFailedChecks checks that any answer to a check resets the count.
func TestCheck_AnyAnswer_ResetsFailedChecks(t *testing.T) {
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

// TestVerdict_BrokenWhileDown_DoesNotEject checks that calls aborted at a down node do not eject it: its next successful check
// makes it up.
func TestVerdict_BrokenWhileDown_DoesNotEject(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Failures: 5}, "a", "b")
	l.check("a", Check{})
	n := l.node("a")
	for range 6 {
		l.TakeSlot(l.now, n, Call)
	}
	l.call("a", Refused)
	for range 6 {
		l.End(l.now, n, Call, Broken, 0)
	}
	l.want("a", Down)
	l.check("a", Check{})
	l.want("a", Up)
}

// TestEjection_Repeated_PauseGrows checks that the pause grows until the probation is passed, and that calls answered after the
// next ejection do not count for the probation.
func TestEjection_Repeated_PauseGrows(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Failures: 1, Probation: 2, Pause: flow.Backoff{Base: 2 * time.Second, Cap: time.Minute}}, "a", "b")
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
		l.TakeSlot(l.now, n, Call)
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
