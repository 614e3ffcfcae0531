package delivery

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/route"
)

const (
	// dueEvery is how late a task is at most while the store keeps up; a look at the next one costs one seek.
	dueEvery = 100 * time.Millisecond
	// dueBatch is how many tasks are claimed at a time: one commit of theirs is as long as any other.
	dueBatch = 500
	// dueLease is how long their commit may take. After it somebody else tries, and the lease number decides.
	dueLease = 15 * time.Second
)

// runDue does what becomes due until ctx ends: scheduled messages enter their inboxes, times to live end.
func (e *Engine) runDue(ctx context.Context) {
	ticker := time.NewTicker(dueEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for e.doDue(context.WithoutCancel(ctx)) == dueBatch && ctx.Err() == nil {
		}
	}
}

// doDue claims one batch and has its effects. What fails is claimed again when its lease has ended.
func (e *Engine) doDue(ctx context.Context) (claimed int) {
	tasks, err := e.store.Claim(ctx, dueLease, dueBatch)
	if err != nil || len(tasks) == 0 {
		return 0
	}
	changes := make([]esh3ar.Change, len(tasks))
	now := esh3ar.TimeOf(time.Now())
	for i := range tasks {
		changes[i] = effectOf(&tasks[i], now)
	}
	results, err := e.store.Settle(ctx, changes)
	if err != nil {
		e.stats.dueFailed.Add(uint64(len(tasks)))
		return len(tasks)
	}
	for i := range results {
		e.stats.due.Add(1)
		if results[i].Applied {
			e.tellDue(&tasks[i], &results[i])
		}
	}
	return len(tasks)
}

// effectOf is the change that a task stands for.
func effectOf(t *esh3ar.Task, now esh3ar.Time) esh3ar.Change {
	c := esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Queued, At: now, Task: t}
	if t.Kind == esh3ar.ExpireTask {
		c.To = esh3ar.Expired
	}
	return c
}

// tellDue hints the recipient's connections.
func (e *Engine) tellDue(t *esh3ar.Task, r *esh3ar.Settled) {
	if t.Kind == esh3ar.ExpireTask {
		e.Lapsed(t.Recipient, t.Message, t.Life)
		return
	}
	e.Entered(r.Recipient, r.Seq, r.Message, r.Progress.Life)
}

// Entered says that a message which was stored before has just got its place in the inbox: it was scheduled, or is
// replayed.
func (e *Engine) Entered(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life) {
	found := e.tell(r, nil, event{kind: hintEvent, seq: seq})
	switch {
	case e.far != nil:
		e.tellFar([]route.Hint{enteredHint(r, seq, id, life)})
	case !found:
		e.makePending([]esh3ar.Change{pendingChange(id, r, life, time.Now())})
	}
}
