package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Run commits calls until ctx ends. Then it refuses new calls, commits the admitted ones, and returns nil.
func (in *Intake) Run(ctx context.Context) error {
	var spilling sync.WaitGroup
	defer spilling.Wait()
	if in.opts.Spill != nil {
		spilling.Go(func() { in.spillLoop(ctx) })
	}
	ticks, stop := in.rateTicks()
	defer stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticks:
			in.admitWaiting()
		case <-in.wake:
			in.linger(ctx)
			in.commitAll(ctx)
		}
	}
	in.close()
	in.commitAll(ctx)
	return nil
}

// close makes the intake refuse new calls and those that wait for admission or for room in a lane. Calls in a lane are still committed.
func (in *Intake) close() {
	in.mu.Lock()
	in.mu.closed = true
	var refused refusals
	refused = refused.add(in.mu.admission.RemoveAll(), errStopping)
	for _, l := range in.mu.lanes {
		for p := l.overflow.first(); p != nil; p = l.overflow.first() {
			l.overflow.pop()
			refused = append(refused, refusal{p, errStopping})
		}
	}
	in.mu.Unlock()
	in.spill.changed.broadcast()
	refused.answer()
}

// linger waits until the next batch is ready, at most Options.Linger.
func (in *Intake) linger(ctx context.Context) {
	timer := time.NewTimer(in.opts.Linger)
	defer timer.Stop()
	for !in.batchReady() {
		select {
		case <-in.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// batchReady reports whether the lanes hold enough messages for a commit: lingerBatch, or half of the messages that may be in flight,
// because no more may arrive before the next commit.
func (in *Intake) batchReady() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for _, l := range in.mu.lanes {
		n += l.messages
	}
	return n >= min(lingerBatch, in.mu.admission.Stats().Limit/2)
}

// commitAll commits batches until the lanes are empty. A taken call is committed even if ctx ends.
func (in *Intake) commitAll(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for {
		calls := in.takeBatch()
		if len(calls) == 0 {
			return
		}
		in.commit(ctx, calls)
	}
}

// commit stores the calls, publishes their messages, and then answers the callers: the phones need not wait for the callers' wake-ups.
func (in *Intake) commit(ctx context.Context, calls []*pendingCall) {
	if in.opts.Spill != nil {
		calls = in.routeToSpill(ctx, calls)
		if len(calls) == 0 {
			return
		}
	}
	began := time.Now()
	answers, err := in.append(ctx, calls)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.Invalid && len(calls) > 1 {
		// One of the calls cannot be stored. Halve the batch until that call is alone and the others are stored.
		in.commit(ctx, calls[:len(calls)/2])
		in.commit(ctx, calls[len(calls)/2:])
		return
	}
	if err != nil && in.opts.Spill != nil && isStoreAway(err) {
		in.appendToSpill(ctx, calls, err)
		return
	}
	ended := time.Now()
	info := CommitInfo{Took: ended.Sub(began), Waited: began.Sub(calls[0].Since), Err: err}
	if err != nil {
		for _, p := range calls {
			p.resolve(esh3ar.Answer{}, err)
		}
	} else {
		stored := storedMessages(calls, answers)
		info.Messages = len(stored)
		if len(stored) > 0 {
			in.publish(stored)
		}
		for i, p := range calls {
			p.resolve(answers[i], nil)
		}
	}
	in.adaptLimit(ended)
	in.opts.OnCommit(info)
}

// storedMessages returns the messages of the calls that the commit stored; the others were known already by their idempotency key.
func storedMessages(calls []*pendingCall, answers []esh3ar.Answer) (stored []*esh3ar.Message) {
	for i, p := range calls {
		if answers[i].Outcome == esh3ar.Stored {
			stored = append(stored, p.call.Messages...)
		}
	}
	return stored
}

// append appends the calls to the store. With a spill it waits at most Options.StoreTimeout and records whether the store is away.
func (in *Intake) append(ctx context.Context, calls []*pendingCall) ([]esh3ar.Answer, error) {
	if in.opts.Spill == nil {
		return in.store.Append(ctx, callsOf(calls))
	}
	ctx, cancel := context.WithTimeout(ctx, in.opts.StoreTimeout)
	defer cancel()
	in.spill.commitBegan.Store(time.Now().UnixNano())
	defer in.spill.commitBegan.Store(0)
	answers, err := in.store.Append(ctx, callsOf(calls))
	in.observeStore(err)
	return answers, err
}

// publish hands durable messages to the publisher. With a spill both the batcher and the drain publish.
func (in *Intake) publish(stored []*esh3ar.Message) {
	if in.opts.Spill != nil {
		in.spill.publishing.Lock()
		defer in.spill.publishing.Unlock()
	}
	in.publisher.Publish(stored)
}
