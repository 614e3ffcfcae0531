package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// lowerShare is how many of ten messages of a full batch are kept for lanes below the highest that waits, so that a
// flood of urgent messages slows the others down and does not stop them.
const lowerShare = 2

// Run commits until ctx ends, then refuses new calls, commits what it holds, and returns nil.
func (in *Intake) Run(ctx context.Context) error {
	var pourer sync.WaitGroup
	defer pourer.Wait()
	if in.opts.Spill != nil {
		pourer.Go(func() { in.pourAll(ctx) })
	}
	tick, stop := in.pace.ticks()
	defer stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick:
			in.letIn()
		case <-in.wake:
			in.gather(ctx)
			in.commitAll(ctx)
		}
	}
	in.close()
	in.commitAll(context.WithoutCancel(ctx))
	return nil
}

// letIn lets in whom the capacity that was declared has room for again.
func (in *Intake) letIn() {
	in.mu.Lock()
	refused := in.letInLocked()
	in.mu.Unlock()
	refuse(refused, errFull)
}

// close ends the taking of calls. Those that are admitted will be committed; those that wait for room are refused.
func (in *Intake) close() {
	in.mu.Lock()
	in.mu.closed = true
	var refused []*ticket
	for t := in.mu.door.next(time.Time{}); t != nil; t = in.mu.door.next(time.Time{}) {
		in.mu.door.remove(t)
		refused = append(refused, t)
	}
	for _, l := range in.mu.lanes {
		refused = append(refused, l.parked.queue[l.parked.head:]...)
		l.parked = newLine()
	}
	in.mu.Unlock()
	in.news.tell()
	refuse(refused, errStopping())
}

// gather gives a small batch a moment to find company.
func (in *Intake) gather(ctx context.Context) {
	timer := time.NewTimer(in.opts.Linger)
	defer timer.Stop()
	for !in.worthwhile() {
		select {
		case <-in.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (in *Intake) worthwhile() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for _, l := range in.mu.lanes {
		n += l.messages
	}
	return n >= min(enough, in.mu.limit/2)
}

// commitAll commits batch after batch until nothing waits.
func (in *Intake) commitAll(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // what is taken is seen through
	for {
		batch := in.takeBatch()
		if len(batch) == 0 {
			return
		}
		in.commit(ctx, batch)
	}
}

// batch is what one commit takes.
type batch struct {
	tickets  []*ticket
	messages int
	bytes    int
}

func (b *batch) full(o *Options) bool {
	return b.messages >= o.BatchMessages || b.bytes >= o.BatchBytes
}

// takeBatch takes what the next commit is to hold; nothing only if nothing waits in the lanes.
func (in *Intake) takeBatch() []*ticket {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		tickets := in.takeLocked()
		if len(tickets) > 0 || !in.waitsBelowLocked(esh3ar.Priorities) {
			return tickets
		}
		// All that was there had been abandoned, and those who waited for their room came in.
	}
}

// takeLocked takes the lanes from the top, leaving a share to those below, and lets in who waits for room.
func (in *Intake) takeLocked() []*ticket {
	var b batch
	for p := esh3ar.Priorities - 1; p >= 0; p-- {
		limit := in.opts.BatchMessages
		if in.waitsBelowLocked(p) {
			limit -= (in.opts.BatchMessages - b.messages) * lowerShare / 10
		}
		in.takeLaneLocked(&b, &in.mu.lanes[p].line, limit)
	}
	for _, l := range in.mu.lanes {
		l.admit(&in.opts)
	}
	return b.tickets
}

func (in *Intake) waitsBelowLocked(p int) bool {
	for _, l := range in.mu.lanes[:p] {
		if l.messages > 0 {
			return true
		}
	}
	return false
}

// takeLaneLocked moves tickets into the batch up to limit messages; what was abandoned is dropped on the way.
func (in *Intake) takeLaneLocked(b *batch, l *line, limit int) {
	for t := l.first(); t != nil; t = l.first() {
		if len(b.tickets) > 0 && (b.full(&in.opts) || b.messages+t.messages() > limit) {
			return
		}
		l.pop()
		if t.take() {
			b.tickets = append(b.tickets, t)
			b.messages += t.messages()
			b.bytes += t.size
		}
	}
}

func callsOf(tickets []*ticket) []*esh3ar.Call {
	calls := make([]*esh3ar.Call, len(tickets))
	for i, t := range tickets {
		calls[i] = t.call
	}
	return calls
}

// commit stores the batch, tells the recipients' side, and answers the callers.
func (in *Intake) commit(ctx context.Context, tickets []*ticket) {
	if in.opts.Spill != nil {
		if tickets = in.divert(ctx, tickets); len(tickets) == 0 {
			return
		}
	}
	start := time.Now()
	answers, err := in.append(ctx, tickets)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.Invalid && len(tickets) > 1 {
		// Something in the batch cannot be stored: halve until it stands alone and the others are through.
		in.commit(ctx, tickets[:len(tickets)/2])
		in.commit(ctx, tickets[len(tickets)/2:])
		return
	}
	if err != nil && in.opts.Spill != nil && isAway(err) {
		in.keep(ctx, tickets, err)
		return
	}
	now := time.Now()
	info := CommitInfo{Took: now.Sub(start), Waited: start.Sub(tickets[0].since), Err: err}
	var stored []*esh3ar.Message
	for i, t := range tickets {
		if err == nil && answers[i].Outcome == esh3ar.Stored {
			stored = append(stored, t.call.Messages...)
		}
	}
	info.Messages = len(stored)
	if len(stored) > 0 {
		in.published(stored)
	}
	for i, t := range tickets {
		if err != nil {
			t.resolve(esh3ar.Answer{}, err)
		} else {
			t.resolve(answers[i], nil)
		}
	}
	in.measure(now)
	in.opts.OnCommit(info)
}

// append asks the store. One that does not answer holds up nobody for long where there is a spill.
func (in *Intake) append(ctx context.Context, tickets []*ticket) ([]esh3ar.Answer, error) {
	if in.opts.Spill == nil {
		return in.store.Append(ctx, callsOf(tickets))
	}
	ctx, cancel := context.WithTimeout(ctx, in.opts.StoreTimeout)
	defer cancel()
	in.began.Store(time.Now().UnixNano())
	defer in.began.Store(0)
	answers, err := in.store.Append(ctx, callsOf(tickets))
	in.heard(err)
	return answers, err
}
