package ingest

import "context"

// The spill queue holds calls without a key that go to the spill without the store being asked, because they found no room in their
// lane or no turn in time. It has a goroutine of its own, because the batcher may be waiting for a slow store just then.
//
// Order is kept: a call in the spill queue and a call of the same recipient in a lane are both unanswered, so neither was sent after the
// other was answered.

// enqueueSpill puts the call into the spill queue.
func (in *Intake) enqueueSpill(p *pendingCall) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.closed {
		return errStopping
	}
	if !in.mu.spillQueue.fits(p, &in.opts) {
		return errLaneFull
	}
	in.mu.spillQueue.push(p)
	signal(in.spill.wake)
	return nil
}

// spillLoop writes the calls of the spill queue to the spill until ctx ends, then the remaining ones.
func (in *Intake) spillLoop(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-in.spill.wake:
			in.spillQueued(ctx)
		}
	}
	in.close()
	in.spillQueued(ctx)
}

// spillQueued writes batches to the spill until the spill queue is empty. A taken call is written even if ctx ends.
func (in *Intake) spillQueued(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for {
		calls := in.takeSpillBatch()
		if len(calls) == 0 {
			return
		}
		in.appendToSpill(ctx, calls, nil)
	}
}

func (in *Intake) takeSpillBatch() []*pendingCall {
	in.mu.Lock()
	defer in.mu.Unlock()
	var b batch
	in.takeQueueLocked(&b, &in.mu.spillQueue, in.opts.BatchMessages)
	return b.calls
}

// freeShare is the divisor of Options.LaneMemory that gives the least memory to free at once. Freeing only what the next call needs would
// cost a walk over a lane for each call.
const freeShare = 16

// freeMemoryLocked makes room for the call if the lanes together exceed their memory: it moves calls without a key from lanes of lower
// priority to the spill queue, the lowest lane first. It reports whether there is room now.
func (in *Intake) freeMemoryLocked(p *pendingCall) bool {
	excess := in.laneBytesLocked() + p.Bytes - in.opts.LaneMemory
	if excess <= 0 {
		return true
	}
	goal := max(excess, in.opts.LaneMemory/freeShare)
	freed := 0
	for _, l := range in.mu.lanes[:p.Priority] {
		for _, q := range []*boundedQueue{&l.boundedQueue, &l.overflow} {
			if freed < goal {
				freed += in.moveToSpillLocked(q, goal-freed)
			}
		}
	}
	if freed > 0 {
		signal(in.spill.wake)
	}
	return freed >= excess
}

// laneBytesLocked returns the size of all calls in lanes and overflows.
func (in *Intake) laneBytesLocked() int {
	var n int
	for _, l := range in.mu.lanes {
		n += l.bytes + l.overflow.bytes
	}
	return n
}

// moveToSpillLocked moves calls without a key from q to the spill queue, oldest first, until goal bytes have left q or the spill queue
// is full. It returns the bytes that have left q.
func (in *Intake) moveToSpillLocked(q *boundedQueue, goal int) (freed int) {
	if q.keyless == 0 {
		return 0
	}
	q.filter(func(p *pendingCall) (keep bool) {
		if freed >= goal || p.call.Key != nil {
			return true
		}
		if !p.isAbandoned() {
			if !in.mu.spillQueue.fits(p, &in.opts) {
				return true
			}
			in.mu.spillQueue.push(p)
		}
		freed += p.Bytes
		return false
	})
	return freed
}
