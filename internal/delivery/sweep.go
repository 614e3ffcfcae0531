package delivery

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

const (
	// sweepBatch is how many counters are asked for at a time.
	sweepBatch = 500
	// staleBatch is how many queued messages one step of the stale walk takes, and staleEvery its pace: a status for
	// up to 500 messages a second is repaired without anybody noticing.
	staleBatch = 500
	staleEvery = time.Second
)

// sweepAll compares every connected recipient with the store, again and again. It is what delivery rests on when a hint
// was lost.
func (e *Engine) sweepAll(ctx context.Context) {
	ticker := time.NewTicker(e.opts.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.sweep(ctx)
		}
	}
}

// sweep is one round.
func (e *Engine) sweep(ctx context.Context) {
	batch := make([]esh3ar.Recipient, 0, sweepBatch)
	for r := range e.sessions.Recipients {
		if batch = append(batch, r); len(batch) == sweepBatch {
			e.compare(ctx, batch)
			batch = batch[:0]
		}
		if ctx.Err() != nil {
			return
		}
	}
	e.compare(ctx, batch)
}

// compare tells sessions the counters of their recipients. A store that cannot answer is asked again next round.
func (e *Engine) compare(ctx context.Context, batch []esh3ar.Recipient) {
	counters, err := e.store.Counters(ctx, batch)
	if err != nil {
		return
	}
	var found []*Session
	for i, r := range batch {
		found = e.sessions.Of(found[:0], r)
		for _, s := range found {
			if s.missed(counters[i]) {
				s.post(event{kind: sweepEvent, seq: counters[i]})
			}
		}
	}
}

// missed tells whether the session may need to hear of this counter: idle sessions that know it are left asleep.
func (s *Session) missed(counter esh3ar.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.scheduled {
		return true // its worker is about to look at it anyway; the step decides
	}
	return s.step.behind || counter > s.step.seen
}

// healStale turns queued messages of absent recipients into pending ones, where the moment of their commit was missed:
// a crash, a full settler, a phone that left in that moment. It changes statuses and nothing else. It walks all inboxes
// once after a start, and again only when something of that kind has happened.
func (e *Engine) healStale(ctx context.Context) {
	ticker := time.NewTicker(staleEvery)
	defer ticker.Stop()
	next := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if next == "" && !e.stale.Swap(false) {
			continue
		}
		next = e.healSome(ctx, next)
	}
}

// healSome walks on from next; it gives where to go on, empty at the end. What is too young now, or could not be read,
// is for the next walk.
func (e *Engine) healSome(ctx context.Context, next string) string {
	now := time.Now()
	refs, following, err := e.store.Queued(ctx, esh3ar.TimeOf(now), next, staleBatch)
	if err != nil {
		e.stale.Store(true)
		return next
	}
	old := esh3ar.TimeOf(now.Add(-e.opts.StaleAfter))
	var changes []esh3ar.Change
	var found []*Session
	for _, ref := range refs {
		if found = e.sessions.Of(found[:0], ref.Recipient); len(found) > 0 {
			continue
		}
		if ref.ID.CreatedAt() >= old {
			e.stale.Store(true)
			continue
		}
		changes = append(changes, pendingChange(ref.ID, ref.Recipient, ref.Life, now))
	}
	if len(changes) > 0 && !e.settler.offer(changes) {
		e.stale.Store(true)
	}
	return following
}
