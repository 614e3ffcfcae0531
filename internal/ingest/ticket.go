package ingest

import (
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// The states of a ticket. Each change is a compare-and-swap from waiting.
const (
	waiting int32 = iota
	taken
	abandoned
)

// ticket is a call on its way through a lane.
type ticket struct {
	call     *esh3ar.Call
	size     int           // bytes
	since    time.Time     // it came, or was admitted
	patience time.Duration // of its caller, from then on
	state    atomic.Int32
	timer    *time.Timer   // of the caller's patience
	done     chan struct{} // capacity 1: the batcher's word never waits for the caller
	answer   esh3ar.Answer // both written before done
	err      error

	admitted      bool    // it counts as in flight
	place         *place  // at the door; nil: not there any more
	before, after *ticket // its neighbours there, older and newer
}

// newTicket makes a ticket or takes a used one: the hot path needs one per call, with its channel and its timer.
func (in *Intake) newTicket(call *esh3ar.Call, patience time.Duration) *ticket {
	t, ok := in.tickets.Get().(*ticket)
	if !ok {
		t = &ticket{done: make(chan struct{}, 1), timer: time.NewTimer(patience)}
	}
	t.call, t.size, t.since, t.patience = call, call.Size(), time.Now(), patience
	t.timer.Reset(patience)
	t.state.Store(waiting)
	return t
}

// release gives a resolved ticket back, and lets in who waits for its room. One that was abandoned is left to the collector:
// its lane still holds it.
func (in *Intake) release(t *ticket) (esh3ar.Answer, error) {
	answer, err := t.answer, t.err
	refuse(in.leave(t), errFull)
	in.discard(t)
	return answer, err
}

// discard gives back a ticket that nobody else holds.
func (in *Intake) discard(t *ticket) {
	t.timer.Stop()
	t.call, t.answer, t.err = nil, esh3ar.Answer{}, nil
	in.tickets.Put(t)
}

func (t *ticket) messages() int { return len(t.call.Messages) }

func (t *ticket) take() bool { return t.state.CompareAndSwap(waiting, taken) }

func (t *ticket) left() bool { return t.state.Load() == abandoned }

func (t *ticket) abandon() bool { return t.state.CompareAndSwap(waiting, abandoned) }

func (t *ticket) resolve(answer esh3ar.Answer, err error) {
	t.answer, t.err = answer, err
	t.done <- struct{}{}
}
