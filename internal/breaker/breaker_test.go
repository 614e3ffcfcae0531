package breaker_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/breaker"
)

var errAway = esh3ar.Errorf(esh3ar.StoreUnavailable, "away")

// dependency is a dependency that can be unavailable.
type dependency struct {
	err   error
	calls int
}

func (d *dependency) call() error { d.calls++; return d.err }

// TestBreaker_Failures_OpenHalfOpenClose walks through all states on a fake clock.
func TestBreaker_Failures_OpenHalfOpenClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var states []string
		b := breaker.New("the store", breaker.Options{Failures: 3, Pause: time.Second, OnChange: func(s breaker.Status) { states = append(states, s.State) }})
		d := &dependency{err: errAway}
		for range 3 {
			if err := b.Do(d.call); !errors.Is(err, errAway) {
				t.Error(err)
			}
		}
		if s := b.Status(); s.State != "open" || s.Failures != 3 || s.Name != "the store" || !s.Since.Equal(time.Now()) {
			t.Errorf("%+v", s)
		}
		err := b.Do(d.call)
		if d.calls != 3 || esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Errorf("an open breaker let call %d through: %v", d.calls, err)
		}
		var e *esh3ar.Error
		if !errors.As(err, &e) || e.RetryAfter < time.Second {
			t.Errorf("%v does not say when to come again", err)
		}
		time.Sleep(time.Second)
		_ = b.Do(d.call) // the trial call fails
		if d.calls != 4 || b.Status().State != "open" {
			t.Errorf("after a failed probe: %d calls, %s", d.calls, b.Status().State)
		}
		time.Sleep(time.Second)
		d.err = nil
		if err := b.Do(d.call); err != nil || b.Status().State != "closed" || b.Status().Failures != 0 {
			t.Errorf("after a good probe: %v, %+v", err, b.Status())
		}
		if want := []string{"open", "half_open", "open", "half_open", "closed"}; !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
		if b.Status().Refused != 1 {
			t.Errorf("%d refused", b.Status().Refused)
		}
	})
}

// TestBreaker_CallerErrors_DoNotCount: errors of the caller do not count as failures of the dependency.
func TestBreaker_CallerErrors_DoNotCount(t *testing.T) {
	t.Parallel()
	for code := range esh3ar.Codes {
		b := breaker.New("x", breaker.Options{Failures: 2})
		d := &dependency{err: esh3ar.Errorf(code, "x")}
		for range 5 {
			_ = b.Do(d.call)
		}
		if opened := b.Status().State == "open"; opened != (code.Reaction() == esh3ar.RetryLater) {
			t.Errorf("%s: open is %t", code, opened)
		}
	}
	b := breaker.New("x", breaker.Options{Failures: 2})
	for range 5 { // not consecutive
		_ = b.Do(func() error { return errAway })
		_ = b.Do(func() error { return nil })
	}
	if b.Status().State != "closed" {
		t.Error("single failures open it")
	}
}
