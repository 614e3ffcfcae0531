package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// spillJoinThreshold is the number of calls in the spill from which on a call joins the calls of its recipients there. Below it the call
// waits until they are drained, which is a moment. If all calls joined, a busy recipient would never leave the spill.
const spillJoinThreshold = 1000

// errSpillPending sends a call back to its caller's goroutine, which waits until earlier calls of its recipients have left the spill.
var errSpillPending = errors.New("earlier messages of the recipient are in the spill")

// routeToSpill answers or spills the calls that must not go to the store now, and returns the others.
func (in *Intake) routeToSpill(ctx context.Context, calls []*pendingCall) []*pendingCall {
	var toStore []*pendingCall
	calls = in.answerDuplicates(calls)
	var toSpill []*pendingCall
	away := in.spill.storeAway.Load()
	// While the spill has calls, the drain notices when the store is back. Until then each batch would wait for its timeout in vain.
	spillAll := away && in.opts.Spill.Calls() > 0
	toStore = calls[:0:len(calls)]
	for _, p := range calls {
		backlog := in.opts.Spill.Backlog(p.call)
		switch {
		case spillAll:
			toSpill = append(toSpill, p)
		case backlog == 0 || faultinject.Is(faultinject.SpillOvertaken):
			toStore = append(toStore, p)
		case away || p.call.Key == nil && backlog >= spillJoinThreshold:
			toSpill = append(toSpill, p)
		default:
			p.resolve(esh3ar.Answer{}, errSpillPending)
		}
	}
	if len(toSpill) == 0 {
		return toStore
	}
	in.appendToSpill(ctx, toSpill, nil)
	return in.answerDuplicates(toStore) // of the calls that were just spilled
}

// answerDuplicates answers the calls whose idempotency key is in the spill, and returns the others.
func (in *Intake) answerDuplicates(calls []*pendingCall) (others []*pendingCall) {
	others = calls[:0:len(calls)]
	for _, p := range calls {
		answer, known, err := in.opts.Spill.KnownKey(p.call)
		if known || err != nil {
			p.resolve(answer, err)
		} else {
			others = append(others, p)
		}
	}
	return others
}

// appendToSpill writes the calls to the spill and answers them. storeErr is the store's error if the store was asked first, else nil.
func (in *Intake) appendToSpill(ctx context.Context, calls []*pendingCall, storeErr error) {
	began := time.Now()
	answers, err := in.opts.Spill.Append(ctx, callsOf(calls))
	if err != nil && storeErr != nil && esh3ar.CodeOf(storeErr) == esh3ar.OutcomeUnknown {
		err = storeErr // the calls may be in the store, so the answer must not be a definite refusal
	}
	info := CommitInfo{Took: time.Since(began), Waited: began.Sub(calls[0].Since), Err: err}
	for i, p := range calls {
		if err != nil {
			p.resolve(esh3ar.Answer{}, err)
			continue
		}
		if answers[i].Outcome == esh3ar.Stored {
			info.Spilled += p.Messages
		}
		p.resolve(answers[i], nil)
	}
	in.opts.OnCommit(info)
}

// submitOrSpill is Submit with a spill:
//   - A call whose recipients have earlier calls in the spill waits for these and is submitted again.
//   - A call that finds no room goes to the spill queue, if it has no idempotency key.
//   - A call with a key is never spilled because of load: while the store answers, only the store knows the keys of other nodes.
func (in *Intake) submitOrSpill(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error) {
	began := time.Now()
	for {
		answer, err := in.submit(ctx, call, in.opts.LaneTimeout-time.Since(began), in.enqueue)
		if errors.Is(err, errSpillPending) {
			err = in.waitForSpillDrain(ctx, call, in.opts.LaneTimeout-time.Since(began))
			if err == nil {
				continue
			}
		}
		noRoom := errors.Is(err, errLaneFull)
		if !noRoom && !(errors.Is(err, errOverloaded) && in.storeStalled()) {
			return answer, err
		}
		if call.Key == nil {
			return in.submit(ctx, call, in.opts.LaneTimeout, in.enqueueSpill)
		}
		if noRoom || time.Since(began) >= in.opts.LaneTimeout {
			return answer, err
		}
		// The call was shed because the store is stalled. With a key it can only wait for the store.
	}
}

// errSpillTimeout answers a call with a key that may neither overtake the calls of its recipients in the spill nor join them.
var errSpillTimeout = &esh3ar.Error{
	Code: esh3ar.Overloaded, Text: "earlier messages of this recipient are still on their way to the database", RetryAfter: time.Second,
}

// waitForSpillDrain waits until the call may be submitted again, at most timeout.
func (in *Intake) waitForSpillDrain(ctx context.Context, call *esh3ar.Call, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		changed := in.spill.changed.next()
		if in.opts.Spill.Backlog(call) == 0 || in.spill.storeAway.Load() || in.stopping() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return callerGone(ctx)
		case <-timer.C:
			if call.Key == nil {
				return errLaneFull
			}
			return errSpillTimeout
		}
	}
}
