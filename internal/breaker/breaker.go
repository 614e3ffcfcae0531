// Package breaker wraps dependencies in circuit breakers. After several consecutive failures the breaker opens: calls are refused
// at once for a while, then one trial call is let through. A refused call loses nothing: its message stays where it is, and its
// caller retries.
//
// The breakers guard what is outside the node: the store and Redis. The breakers of phones are pure decisions of package delivery.
//
// Concurrency: everything may be called from any goroutine.
package breaker

import (
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/esh3artech/esh3ar"
)

// Options configure a Breaker; the zero value of a field selects its default.
type Options struct {
	Failures uint                 // consecutive failures that open it; default 5
	Pause    time.Duration        // how long it refuses calls before it lets a trial call through; default 1 s
	OnChange func(Status)         // called after each change of state; must not block and must not call the breaker
	Now      func() time.Time     // clock of Status.Since; default time.Now
	Counts   func(err error) bool // reports whether err is a failure of the dependency; default: errors whose reaction is RetryLater
}

// Status describes the state of a breaker.
type Status struct {
	Name     string
	State    string    // "closed", "open" or "half_open"
	Since    time.Time // when it entered the state
	Failures uint      // consecutive failures
	Refused  uint64    // calls refused since the start
}

// Breaker guards one dependency.
type Breaker struct {
	name     string
	opts     Options
	circuit  circuitbreaker.CircuitBreaker[any]
	since    atomic.Int64 // Unix milliseconds of the last change of state
	failures atomic.Uint64
	refused  atomic.Uint64
}

// New returns a closed breaker.
func New(name string, o Options) *Breaker {
	if o.Failures == 0 {
		o.Failures = 5
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.OnChange == nil {
		o.OnChange = func(Status) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Counts == nil {
		o.Counts = func(err error) bool { return esh3ar.ReactionTo(err) == esh3ar.RetryLater }
	}
	b := &Breaker{name: name, opts: o}
	b.since.Store(o.Now().UnixMilli())
	b.circuit = circuitbreaker.NewBuilder[any]().WithFailureThreshold(o.Failures).WithSuccessThreshold(1).WithDelay(o.Pause).
		OnStateChanged(b.changed).Build()
	return b
}

func (b *Breaker) changed(e circuitbreaker.StateChangedEvent) {
	b.since.Store(b.opts.Now().UnixMilli())
	status := b.status()
	status.State = stateName(e.NewState)
	b.opts.OnChange(status)
}

func stateName(s circuitbreaker.State) string {
	switch s {
	case circuitbreaker.OpenState:
		return "open"
	case circuitbreaker.HalfOpenState:
		return "half_open"
	case circuitbreaker.ClosedState:
	}
	return "closed"
}

func (b *Breaker) status() Status {
	return Status{Name: b.name, Since: time.UnixMilli(b.since.Load()), Failures: uint(b.failures.Load()), Refused: b.refused.Load()}
}

// Status returns the current state.
func (b *Breaker) Status() Status {
	status := b.status()
	status.State = stateName(b.circuit.State())
	return status
}

// Do calls f unless the breaker is open. Then it returns StoreUnavailable with the time until the next trial call.
func (b *Breaker) Do(f func() error) error {
	if !b.circuit.TryAcquirePermit() {
		b.refused.Add(1)
		return &esh3ar.Error{
			Code: esh3ar.StoreUnavailable, Text: b.name + " is not answering; calls are refused for a while", RetryAfter: max(b.circuit.RemainingDelay(), time.Second),
		}
	}
	err := f()
	if err != nil && b.opts.Counts(err) {
		b.failures.Add(1)
		b.circuit.RecordFailure()
		return err
	}
	b.failures.Store(0)
	b.circuit.RecordSuccess()
	return err
}
