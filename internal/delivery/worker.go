package delivery

import (
	"context"
	"math/rand/v2"
	"time"
)

func randomInt64(n int64) int64 { return rand.Int64N(n) }

// worker is the scratch space of one goroutine.
type worker struct {
	fx     effects
	events []event
}

// run steps a session until it has no more events.
func (w *worker) run(s *Session) {
	for {
		events, missed, closed := s.take(w.events[:0])
		if len(events) == 0 && missed == 0 {
			w.events = nil
			return
		}
		if missed > 0 {
			events = append(events, event{kind: hintEvent, seq: missed})
		}
		w.steps(s, events, closed)
		clear(events)
		w.events = events
	}
}

// steps takes events in order. Live messages that follow each other leave in one write.
func (w *worker) steps(s *Session, events []event, closed bool) {
	var published time.Time
	for i := range events {
		ev := &events[i]
		if ev.kind != hintEvent || ev.message == nil {
			w.flush(s, published, closed)
			published = time.Time{}
		} else if published.IsZero() {
			published = ev.at
		}
		s.apply(ev, &w.fx)
		if !w.fx.batch.Live {
			w.flush(s, published, closed)
		}
	}
	w.flush(s, published, closed)
	s.arm()
}

// apply is one step of the machine.
func (s *Session) apply(ev *event, fx *effects) {
	rules, now := &s.engine.opts.Rules, time.Now()
	m := &s.step
	if (ev.kind == tickEvent || ev.kind == closeEvent) && m.onTrial() {
		m.applyTerms(rules, s.engine.breakers.terms(s.device, now), now, fx)
	}
	switch ev.kind {
	case openEvent:
		m.open(rules, s.engine.breakers.terms(s.device, now), now, fx)
	case hintEvent:
		m.hint(rules, ev.seq, ev.message, now, fx)
	case ackEvent:
		m.acknowledge(rules, ev.ids, ev.read, ev.call, now, fx)
	case upToEvent:
		m.acknowledgeUpTo(rules, ev.seq, ev.call, now, fx)
	case pageEvent:
		m.page(rules, &ev.result.page, ev.result.err, now, fx)
	case settledEvent:
		m.settled(rules, ev.result.ticket, ev.result.settled, ev.result.err, now, fx)
	case reloadedEvent:
		m.reloaded(rules, ev.one, &ev.result.record, ev.result.err, now, fx)
	case endedEvent:
		m.endedElsewhere(rules, ev.ids, ended, now, fx)
	case endedUnackedEvent:
		m.lapsedElsewhere(rules, ev.lapsed, now, fx)
	case writableEvent:
		m.writable(rules, fx)
	case sweepEvent:
		m.sweep(rules, ev.seq, fx)
	case tickEvent:
		m.tick(rules, now, s.conn.LastReceived(), s.engine.opts.Random, fx)
	case answeredEvent:
		m.probeAnswered(rules, ev.probe, now, s.engine.opts.Random)
	case resumedEvent:
		m.resumed(rules, now)
	case closeEvent:
		m.close(rules, ev.byPeer, now, fx)
	}
}

// flush carries the effects out until a step asks for nothing more. No lock is held meanwhile. A closed session pushes
// and reads no more, but what its phone acknowledged is settled all the same.
func (w *worker) flush(s *Session, published time.Time, closed bool) {
	for {
		fx := w.fx
		w.fx.reset()
		for _, d := range fx.done {
			d.call(d.err)
		}
		for i := range fx.settles {
			s.engine.settle(s, &fx.settles[i])
		}
		if len(fx.ended) > 0 {
			s.engine.notifyAcknowledged(s.step.recipient, s, fx.ended)
		}
		if len(fx.lapsed) > 0 {
			s.engine.notifyEndedUnacked(s.step.recipient, s, fx.lapsed)
		}
		if fx.probe > 0 {
			s.conn.Probe(func() { s.post(event{kind: answeredEvent, probe: fx.probe}) })
		}
		if fx.swept {
			s.engine.stats.swept.Add(1)
		}
		if fx.verdict != none {
			s.engine.breakers.record(s.device, fx.verdict, fx.culprit, time.Now())
		}
		if closed {
			return
		}
		if fx.refresh {
			s.conn.Refresh()
		}
		if fx.read != nil {
			s.engine.reads.add(readJob{session: s, query: fx.read})
		}
		for _, one := range fx.reloads {
			s.engine.reads.add(readJob{session: s, one: one})
		}
		if len(fx.batch.Pushes) == 0 && fx.repeat == nil {
			return
		}
		w.push(s, &fx, published)
	}
}

// push writes what a step gave out and tells the machine how it went.
func (w *worker) push(s *Session, fx *effects, published time.Time) {
	rules := &s.engine.opts.Rules
	if len(fx.batch.Pushes) > 0 {
		heard := s.conn.LastReceived()
		if s.conn.Push(fx.batch) {
			now := time.Now()
			s.step.pushed(rules, fx.batch, now, heard, &w.fx)
			s.engine.stats.pushed.Add(uint64(len(fx.batch.Pushes)))
			if !published.IsZero() {
				s.engine.opts.OnPush(now.Sub(published))
			}
		} else {
			s.step.refused(fx.batch)
			s.engine.stats.refused.Add(1)
		}
	}
	if fx.repeat != nil {
		heard := s.conn.LastReceived()
		ok := s.conn.Push(Batch{Live: true, Pushes: []Push{*fx.repeat}})
		s.step.redelivered(rules, messageLife{fx.repeat.Message.ID, fx.repeat.life}, ok, time.Now(), heard, &w.fx)
		if ok {
			s.engine.stats.repeated.Add(1)
		}
	}
}

// arm puts the session on the wheel when it has a timer and is not there yet.
func (s *Session) arm() {
	due := s.step.due()
	if due.IsZero() {
		return
	}
	s.mu.Lock()
	add := !s.mu.onWheel && !s.mu.closed
	s.mu.onWheel = s.mu.onWheel || add
	s.mu.Unlock()
	if add {
		s.engine.wheel.add(s, due)
	}
}

// read answers a read. It ends when the store says so: a stop waits for it.
func (e *Engine) read(job readJob) {
	ctx, r := context.Background(), &result{}
	if job.query != nil {
		r.page, r.err = e.store.Pending(ctx, *job.query)
		job.session.post(event{kind: pageEvent, result: r})
		return
	}
	r.record, r.err = e.store.Message(ctx, job.one.id)
	job.session.post(event{kind: reloadedEvent, one: job.one, result: r})
}
