package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

const (
	// dueEvery is the interval in which due tasks are claimed, and their greatest delay. A claim without due tasks costs one seek.
	dueEvery = 100 * time.Millisecond
	// dueBatch is the number of tasks in one commit.
	dueBatch = 500
	// dueLease is the longest duration of their commit. After it another node may claim the tasks, and the lease number decides.
	dueLease = 15 * time.Second
)

// dueMost is the greatest number of concurrent commits of due tasks: more would only wait for each other in the store.
const dueMost = 4

// dueWidth returns the number of batches to claim next. The last claim of width batches found the given number of tasks: if they filled
// all batches, the width doubles up to dueMost; if they filled at most half of them, it halves.
func dueWidth(width, claimed int) int {
	switch {
	case claimed == width*dueBatch:
		return min(2*width, dueMost)
	case claimed <= width*dueBatch/2:
		return max(width/2, 1)
	}
	return width
}

// runDue runs due tasks until ctx ends: scheduled messages enter their inboxes, and messages expire.
func (e *Engine) runDue(ctx context.Context) {
	ticker := time.NewTicker(dueEvery)
	defer ticker.Stop()
	width := 1
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for more := true; more && ctx.Err() == nil; {
			claimed := e.runDueBatch(context.WithoutCancel(ctx), width)
			more, width = claimed == width*dueBatch, dueWidth(width, claimed)
			e.stats.dueWidth.Store(int64(width))
		}
	}
}

// runDueBatch claims the given number of batches and commits their effects concurrently, one commit per batch. All tasks of a recipient
// are in the same batch, in the order in which they were due.
func (e *Engine) runDueBatch(ctx context.Context, width int) (claimed int) {
	tasks, err := e.store.Claim(ctx, dueLease, width*dueBatch)
	if err != nil || len(tasks) == 0 {
		return 0
	}
	parts := make([][]esh3ar.Task, width)
	for _, t := range tasks {
		n := uint64(t.Recipient) % uint64(width)
		parts[n] = append(parts[n], t)
	}
	var group sync.WaitGroup
	for _, part := range parts[1:] {
		group.Go(func() { e.commitDue(ctx, part) })
	}
	e.commitDue(ctx, parts[0])
	group.Wait()
	return len(tasks)
}

// commitDue commits the effects of tasks. If the commit fails, the tasks are claimed again after their lease.
func (e *Engine) commitDue(ctx context.Context, tasks []esh3ar.Task) {
	if len(tasks) == 0 {
		return
	}
	changes := make([]esh3ar.Change, len(tasks))
	now := esh3ar.TimeOf(time.Now())
	for i := range tasks {
		changes[i] = changeFor(&tasks[i], now)
	}
	results, err := e.store.Settle(ctx, changes)
	if err != nil {
		e.stats.dueFailed.Add(uint64(len(tasks)))
		return
	}
	for i := range results {
		e.stats.due.Add(1)
		if results[i].Applied {
			e.notifyDue(&tasks[i], &results[i])
		}
	}
}

// changeFor returns the change that is the effect of a task.
func changeFor(t *esh3ar.Task, now esh3ar.Time) esh3ar.Change {
	c := esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Queued, At: now, Task: t}
	if t.Kind == esh3ar.ExpireTask {
		c.To = esh3ar.Expired
	}
	return c
}

// notifyDue hints the effect of a task to the recipient's connections.
func (e *Engine) notifyDue(t *esh3ar.Task, r *esh3ar.Settled) {
	if t.Kind == esh3ar.ExpireTask {
		e.NotifyEndedUnacked(t.Recipient, t.Message, t.Life)
		return
	}
	e.NotifyEnqueued(r.Recipient, r.Seq, r.Message, r.Progress.Life)
}

// NotifyEnqueued hints a stored message that has just entered its inbox because its time came or because it was replayed.
func (e *Engine) NotifyEnqueued(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life) {
	found := e.notifySessions(r, nil, event{kind: hintEvent, seq: seq})
	switch {
	case e.cluster != nil:
		e.notifyRemote([]presence.Hint{enqueuedHint(r, seq, id, life)})
	case !found:
		e.makePending([]esh3ar.Change{pendingChange(id, r, life, time.Now())})
	}
}
