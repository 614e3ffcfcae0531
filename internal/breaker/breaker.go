// Package breaker keeps the node from leaning on a dependency that does not answer: after some failures in a row calls are
// refused at once for a while, then one is let through to see. What was refused waits where it is; nothing is lost by it.
//
// It guards what is outside the node's own decisions: the store. The breakers of phones are decisions of package
// delivery, and pure.
//
// Concurrency: everything may be called from any goroutine.
package breaker

import (
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/esh3artech/esh3ar"
)

// Options tune a breaker; the zero value of a field means its default.
type Options struct {
	Failures uint                 // in a row that open it; default 5
	Pause    time.Duration        // how long it refuses before it lets one call through; default 1 s
	OnChange func(Status)         // after each change of state; must be quick and must not call the breaker
	Now      func() time.Time     // of the stamps; default time.Now
	Counts   func(err error) bool // is it a failure of the dependency? default: whatever is to be tried again later
}

// Status is how a breaker stands.
type Status struct {
	Name     string
	State    string    // closed, open or half_open
	Since    time.Time // of that state
	Failures uint      // in a row
	Refused  uint64    // calls, since the start
}

// Breaker guards one dependency.
type Breaker struct {
	name     string
	opts     Options
	circuit  circuitbreaker.CircuitBreaker[any]
	since    atomic.Int64 // Unix milliseconds
	failures atomic.Uint64
	refused  atomic.Uint64
}

// New makes a closed breaker.
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

// Status is how the breaker stands now.
func (b *Breaker) Status() Status {
	status := b.status()
	status.State = stateName(b.circuit.State())
	return status
}

// Do calls f, unless the breaker refuses: then the error is StoreUnavailable and says when to come again.
func (b *Breaker) Do(f func() error) error {
	if !b.circuit.TryAcquirePermit() {
		b.refused.Add(1)
		return &esh3ar.Error{
			Code: esh3ar.StoreUnavailable, Text: b.name + " does not answer and is left alone for a while", RetryAfter: max(b.circuit.RemainingDelay(), time.Second),
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
