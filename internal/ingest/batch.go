package ingest

import "github.com/esh3artech/esh3ar"

// lowerLanesShare is the number of tenths of a batch that are left to the lanes below, so that a flood of urgent calls slows the other
// lanes down but does not stop them.
const lowerLanesShare = 2

// batch collects the calls of one commit.
type batch struct {
	calls    []*pendingCall
	messages int
	bytes    int
}

func (b *batch) full(o *Options) bool {
	return b.messages >= o.BatchMessages || b.bytes >= o.BatchBytes
}

// takeBatch takes the calls of the next commit. It returns none only if the lanes are empty.
func (in *Intake) takeBatch() []*pendingCall {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		calls := in.takeLanesLocked()
		if len(calls) > 0 || in.lanesEmptyLocked(esh3ar.Priorities) {
			return calls
		}
		// Every call in the lanes was abandoned, and calls from the overflow have taken their room.
	}
}

// takeLanesLocked takes calls from the lanes, highest priority first, then refills the lanes from their overflow.
func (in *Intake) takeLanesLocked() []*pendingCall {
	var b batch
	for p := esh3ar.Priorities - 1; p >= 0; p-- {
		limit := in.opts.BatchMessages
		if !in.lanesEmptyLocked(p) {
			limit -= (in.opts.BatchMessages - b.messages) * lowerLanesShare / 10
		}
		in.takeQueueLocked(&b, &in.mu.lanes[p].boundedQueue, limit)
	}
	for _, l := range in.mu.lanes {
		l.refill(&in.opts)
	}
	return b.calls
}

// lanesEmptyLocked reports whether all lanes below priority p are empty.
func (in *Intake) lanesEmptyLocked(p int) bool {
	for _, l := range in.mu.lanes[:p] {
		if l.messages > 0 {
			return false
		}
	}
	return true
}

// takeQueueLocked moves calls from the queue into the batch until the batch has limit messages or is full. The first call of a batch is
// taken whatever its size. Abandoned calls are dropped.
func (in *Intake) takeQueueLocked(b *batch, q *boundedQueue, limit int) {
	for p := q.first(); p != nil; p = q.first() {
		if len(b.calls) > 0 && (b.full(&in.opts) || b.messages+p.Messages > limit) {
			return
		}
		q.pop()
		if p.take() {
			b.calls = append(b.calls, p)
			b.messages += p.Messages
			b.bytes += p.Bytes
		}
	}
}

// callsOf returns the calls in the form that the store and the spill take.
func callsOf(pending []*pendingCall) []*esh3ar.Call {
	calls := make([]*esh3ar.Call, len(pending))
	for i, p := range pending {
		calls[i] = p.call
	}
	return calls
}
