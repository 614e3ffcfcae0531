package delivery

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

// sweepBatch is the number of counters in one read.
const sweepBatch = 500

// sweepAll compares every connected recipient with the store at an interval, until ctx ends. It finds the messages whose hints were lost.
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

// sweep compares all recipients once.
func (e *Engine) sweep(ctx context.Context) {
	batch := make([]esh3ar.Recipient, 0, sweepBatch)
	for r := range e.sessions.Recipients {
		batch = append(batch, r)
		if len(batch) == sweepBatch {
			e.compare(ctx, batch)
			batch = batch[:0]
		}
		if ctx.Err() != nil {
			return
		}
	}
	e.compare(ctx, batch)
}

// compare posts the counters of recipients to their sessions. After an error the next sweep tries again.
func (e *Engine) compare(ctx context.Context, batch []esh3ar.Recipient) {
	counters, err := e.store.Counters(ctx, batch)
	if err != nil {
		return
	}
	var found []*Session
	for i, r := range batch {
		found = e.sessions.AppendConnections(found[:0], r)
		for _, s := range found {
			if s.missed(counters[i]) {
				s.post(event{kind: sweepEvent, seq: counters[i]})
			}
		}
	}
}

// missed reports whether the session may not know this counter. Idle sessions that know it are not woken.
func (s *Session) missed(counter esh3ar.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.scheduled {
		return true // its worker runs anyway, and the session decides
	}
	return s.step.inbox != caughtUp || counter > s.step.seen
}
