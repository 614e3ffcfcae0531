package delivery

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

// sweepBatch is how many counters are asked for at a time.
const sweepBatch = 500

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
		found = e.sessions.AppendConnections(found[:0], r)
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
