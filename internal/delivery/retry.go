package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// exhausted reports whether the last push was the last attempt.
func (e *entry) exhausted(rules *Rules) bool {
	return !e.attemptRecorded && int(e.attempt) >= rules.Attempts && !faultinject.Is(faultinject.RetryForgets)
}

// scheduleRetry records the attempt of a redelivery in the store. If it is recorded already and only the push failed, it reads the
// message instead. After the last attempt there is no redelivery: the message becomes a dead letter.
func (s *session) scheduleRetry(rules *Rules, e *entry, now time.Time, fx *effects) {
	if e.attemptRecorded {
		fx.reloads = append(fx.reloads, e.lived())
		return
	}
	t := ticket{kind: attemptTicket, one: e.lived()}
	if e.exhausted(rules) {
		t.kind = failTicket
	}
	fx.settles = append(fx.settles, settlement{changes: s.attemptChanges(rules, e, now), ticket: t})
}

// attemptChanges returns the changes for a message whose last push was not acknowledged: the next attempt, or Failed after the last.
func (s *session) attemptChanges(rules *Rules, e *entry, now time.Time) []esh3ar.Change {
	next := esh3ar.Change{
		Message: e.id, Recipient: s.recipient, Life: e.life, Attempt: int(e.attempt) + 1, At: esh3ar.TimeOf(now),
	}
	sent := next // the settlement of the first push may have failed
	sent.To, sent.Attempt = esh3ar.Sent, int(e.attempt)
	if setback := e.pushFailure(rules); setback.Reaction() == esh3ar.DeadLetter {
		next.To, next.Attempt, next.Reason = esh3ar.Failed, int(e.attempt), setback.String()
	}
	return []esh3ar.Change{sent, next}
}

// pushFailure returns the code of a push that was not acknowledged.
func (e *entry) pushFailure(rules *Rules) esh3ar.Code {
	if e.exhausted(rules) {
		return esh3ar.AttemptsSpent
	}
	return esh3ar.NotAcknowledged
}

// failed handles the result of making a message a dead letter.
func (s *session) failed(rules *Rules, id messageLife, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	if e == nil { // acknowledged meanwhile: if that fails the next timeout comes here again
		s.cancelRetry(id)
		return
	}
	if err != nil {
		s.postponeRetry(e, now)
		return
	}
	if results[len(results)-1].Applied {
		fx.lapsed = append(fx.lapsed, id)
	}
	s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(results[len(results)-1].Progress.Status), now, fx)
}

// attemptRecorded handles the result of counting an attempt. Another device may have counted it or ended the message.
func (s *session) attemptRecorded(rules *Rules, id messageLife, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	if e == nil { // acknowledged meanwhile, and its lane is free
		s.cancelRetry(id)
		return
	}
	if err != nil {
		s.postponeRetry(e, now)
		return
	}
	stored := results[len(results)-1].Progress
	switch {
	case stored.Life != e.life || stored.Status.Ends():
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(stored.Status), now, fx)
	default:
		e.attempt, e.attemptRecorded = int32(stored.Attempts), true
		fx.reloads = append(fx.reloads, id)
	}
}

// reloaded handles the current state of a message whose redelivery is due.
func (s *session) reloaded(rules *Rules, id messageLife, record *esh3ar.Record, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	switch {
	case e == nil:
		s.cancelRetry(id)
	case err != nil || s.blocked:
		s.postponeRetry(e, now)
	case record.Status.Ends() || record.Life != e.life:
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(record.Status), now, fx)
	case record.Expired(esh3ar.TimeOf(now)):
		s.expire(&record.Message, e.life, now, fx)
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endedUnacked, now, fx)
	default:
		fx.repeat = &Push{Message: &record.Message, Attempt: int(e.attempt), life: e.life}
	}
}

// redelivered handles whether the connection took a redelivery.
func (s *session) redelivered(rules *Rules, id messageLife, ok bool, now time.Time, heard int64, fx *effects) {
	e := s.unacked(id)
	if e == nil {
		s.cancelRetry(id)
		return
	}
	if !ok {
		s.blocked = true
		s.postponeRetry(e, now)
		return
	}
	s.pushedAt = now
	e.pushed, e.heard, e.attemptRecorded, e.pending = now, heard, false, false
	s.setTimer(e.lane, laneTimer{phase: awaiting, due: now.Add(rules.AckTimeout)})
	s.inbox = s.inbox.mayFind() // the lane is free again
	s.pump(rules, fx)
}

// lived returns the message and its life.
func (e *entry) lived() messageLife { return messageLife{e.id, e.life} }

// unacked returns an entry that is not acknowledged, nil if there is none.
func (s *session) unacked(id messageLife) *entry {
	if e := s.entry(id); e != nil && e.state == unacked {
		return e
	}
	return nil
}

// entry returns the entry of a message in one of its lives, nil if there is none.
func (s *session) entry(id messageLife) *entry {
	for i := 0; s.window != nil && i < len(s.window.entries); i++ {
		if e := &s.window.entries[i]; e.lived() == id {
			return e
		}
	}
	return nil
}

// cancelRetry cancels a redelivery in preparation whose message is being settled.
func (s *session) cancelRetry(id messageLife) {
	if e := s.entry(id); e != nil {
		e.pending = false
	}
}

// postponeRetry delays a redelivery because the store did not answer or the connection is full.
func (s *session) postponeRetry(e *entry, now time.Time) {
	e.pending = false
	s.setTimer(e.lane, laneTimer{phase: delaying, due: now.Add(time.Second)})
}
