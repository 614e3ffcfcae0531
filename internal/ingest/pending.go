package ingest

import (
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

// The states of a pending call; the package documentation has the transitions.
const (
	waiting int32 = iota
	taken
	abandoned
)

// pendingCall is a call between Submit and its answer. It is the admission controller's record of the call too.
type pendingCall struct {
	admission.Call // guarded by Intake.mu
	call           *esh3ar.Call
	timeout        time.Duration // longest wait in a lane, from the admission on
	state          atomic.Int32
	timer          *time.Timer   // ends the wait for admission, then the wait in the lane
	done           chan struct{} // capacity 1, so that the batcher never waits for the caller
	answer         esh3ar.Answer // written before done is signalled
	err            error         // written before done is signalled
}

// newPending returns a pending call, from the pool if possible: each call needs one, with its channel and its timer.
func (in *Intake) newPending(call *esh3ar.Call, timeout time.Duration) *pendingCall {
	p, ok := in.pending.Get().(*pendingCall)
	if !ok {
		p = &pendingCall{done: make(chan struct{}, 1), timer: time.NewTimer(timeout)}
		p.Owner = p
	}
	p.call = call
	p.Level = call.Level
	p.Priority = highestPriority(call)
	p.Messages = len(call.Messages)
	p.Bytes = call.Size()
	p.Since = time.Now()
	p.timeout = timeout
	p.timer.Reset(timeout)
	p.state.Store(waiting)
	return p
}

// highestPriority returns the highest priority of the call's messages. A batch call is queued as a whole.
func highestPriority(call *esh3ar.Call) esh3ar.Priority {
	var highest esh3ar.Priority
	for _, m := range call.Messages {
		highest = max(highest, m.Priority)
	}
	return highest
}

// finish returns the outcome of a resolved call, ends its flight and recycles it. An abandoned call must not be recycled: its lane may
// still hold it.
func (in *Intake) finish(p *pendingCall) (esh3ar.Answer, error) {
	answer, err := p.answer, p.err
	in.releaseCall(p).answer()
	in.recycle(p)
	return answer, err
}

// recycle puts a pending call that nothing else refers to into the pool.
func (in *Intake) recycle(p *pendingCall) {
	p.timer.Stop()
	p.call = nil
	p.answer = esh3ar.Answer{}
	p.err = nil
	in.pending.Put(p)
}

// take reports whether the call was still waiting; if so, it is taken now.
func (p *pendingCall) take() bool { return p.state.CompareAndSwap(waiting, taken) }

// abandon reports whether the call was still waiting; if so, it is abandoned now.
func (p *pendingCall) abandon() bool { return p.state.CompareAndSwap(waiting, abandoned) }

func (p *pendingCall) isAbandoned() bool { return p.state.Load() == abandoned }

// resolve gives a taken call its outcome. It must be called once.
func (p *pendingCall) resolve(answer esh3ar.Answer, err error) {
	p.answer = answer
	p.err = err
	p.done <- struct{}{}
}
