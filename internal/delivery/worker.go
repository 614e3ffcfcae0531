package delivery

import (
	"context"
	"math/rand/v2"
	"time"
)

func randomInt64(n int64) int64 { return rand.Int64N(n) }

// worker is the scratch space of one goroutine that runs sessions. At most one worker runs a session at a time, so the
// worker reads and changes the step of its session without a lock. Other goroutines only post events.
type worker struct {
	fx     effects // effects of the step that runs now
	events []event // events that were taken from the session; reused
}

// run processes the events of a session until none are left.
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

// steps applies events in order. Consecutive live messages are collected and pushed in one write; any other event flushes
// them first, so that effects are executed in the order of the events that caused them.
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

// apply runs one step of the state machine: it changes s.step and adds the resulting effects to fx. It does no I/O. A
// session on trial reads the state of its breaker before each tick and before its end.
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

// sendProbe probes the phone. It is a function of its own because the closure would move all effects of flush to the heap.
func (s *Session) sendProbe(probe uint32) {
	s.conn.Probe(func() { s.post(event{kind: answeredEvent, probe: probe}) })
}

// flush executes the effects, and those of the steps that follow from a push, until a step requests no further push. No
// lock is held while effects run. Acknowledgements are settled before anything is pushed. A closed session neither pushes
// nor reads, but the messages that its phone acknowledged are still settled.
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
			s.sendProbe(fx.probe)
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

// push writes the batch and the repeat of a step to the connection and passes the results to the state machine. The time of
// the last receipt is read before the write: a later one shows that the phone was alive after it. published is the
// time of the hint of the first live message; zero for the backlog.
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

// arm adds the session to the timer wheel if the session has a timer and is not on the wheel. The flag onWheel is guarded by
// s.mu; it is set before the session is added, so a session is on the wheel at most once.
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

// read executes a read of the store and posts the result to the session. It has no deadline of its own: a shutdown waits
// until the store returns.
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
