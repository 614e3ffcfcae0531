package ingest

import (
	"math/rand/v2"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

// refusal is a call that is refused, and why.
type refusal struct {
	call *pendingCall
	err  error
}

// refusals are collected under the lock and answered without it.
type refusals []refusal

// answer answers the calls that their callers have not abandoned meanwhile.
func (r refusals) answer() {
	for i := range r {
		if r[i].call.take() {
			r[i].call.resolve(esh3ar.Answer{}, r[i].err)
		}
	}
}

func (r refusals) add(calls []*admission.Call, err error) refusals {
	for _, c := range calls {
		r = append(r, refusal{c.Owner.(*pendingCall), err})
	}
	return r
}

// admitLocked brings a new call to its lane, or to the admission queue. The error is why the call itself is refused.
func (in *Intake) admitLocked(p *pendingCall) (refused refusals, err error) {
	state, evicted := in.mu.admission.Admit(&p.Call)
	refused = refused.add(evicted, errOverloaded)
	switch state {
	case admission.Admitted:
		err = in.toLaneLocked(p)
		if err == nil {
			signal(in.wake)
		}
		return refused, err
	case admission.Waiting:
		p.timer.Reset(min(p.timeout, in.admissionTimeout()))
		return append(refused, in.admitWaitingLocked(time.Now())...), nil
	case admission.Released:
	}
	return refused, errOverloaded
}

// admissionTimeout returns the longest wait for admission, shortened by a random part of up to a quarter: calls that arrived together
// would otherwise be refused together and come back together.
func (in *Intake) admissionTimeout() time.Duration {
	return in.opts.AdmissionTimeout - rand.N(in.opts.AdmissionTimeout/4)
}

// toLaneLocked puts an admitted call into its lane. A call that finds no room is no longer admitted.
func (in *Intake) toLaneLocked(p *pendingCall) error {
	if in.mu.lanes[p.Priority].add(p, &in.opts) {
		return nil
	}
	in.mu.admission.Release(&p.Call, p.Since, false)
	return errLaneFull
}

// admitWaitingLocked admits waiting calls as far as the controller allows, and returns those whose lane is full.
func (in *Intake) admitWaitingLocked(now time.Time) refusals {
	var refused refusals
	queued := false
	for c := in.mu.admission.Next(now); c != nil; c = in.mu.admission.Next(now) {
		p := c.Owner.(*pendingCall)
		p.timer.Reset(p.timeout)
		if err := in.toLaneLocked(p); err != nil {
			refused = append(refused, refusal{p, err})
			continue
		}
		queued = true
	}
	if queued {
		signal(in.wake)
	}
	return refused
}

// admitWaiting admits waiting calls; Run calls it while a declared rate may have room again.
func (in *Intake) admitWaiting() {
	in.mu.Lock()
	refused := in.admitWaitingLocked(time.Now())
	in.mu.Unlock()
	refused.answer()
}

// releaseCall ends the flight of a call whose caller runs again, and admits waiting calls into the room it leaves.
func (in *Intake) releaseCall(p *pendingCall) refusals {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if p.State() != admission.Admitted {
		return nil
	}
	in.mu.admission.Release(&p.Call, now, p.err == nil)
	return in.admitWaitingLocked(now)
}

// removeAbandoned takes a call that its caller has abandoned out of the counts, and returns the caller's answer. A lane drops the call
// itself when the batcher meets it.
func (in *Intake) removeAbandoned(p *pendingCall) error {
	refused, err := in.removeAbandonedLocking(p)
	refused.answer()
	return err
}

func (in *Intake) removeAbandonedLocking(p *pendingCall) (refusals, error) {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	waiting := p.State() == admission.Waiting
	in.mu.admission.Release(&p.Call, now, false)
	if waiting {
		return nil, errOverloaded
	}
	return in.admitWaitingLocked(now), errLaneFull
}

// adaptLimit lets the controller adapt its limit, after a commit.
func (in *Intake) adaptLimit(now time.Time) {
	in.mu.Lock()
	var refused refusals
	if in.mu.admission.Tick(now) {
		refused = in.admitWaitingLocked(now)
	}
	in.mu.Unlock()
	refused.answer()
}

// rateTick is the interval in which waiting calls are admitted while there is a declared rate: no other event says when the rate has
// room again.
const rateTick = 5 * time.Millisecond

// rateTicks returns a channel that ticks if there is a declared rate, and a function that stops it.
func (in *Intake) rateTicks() (ticks <-chan time.Time, stop func()) {
	if in.opts.Rate <= 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(rateTick)
	return ticker.C, ticker.Stop
}
