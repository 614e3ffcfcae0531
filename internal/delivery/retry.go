package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// timerPhase is the state of a lane's timer.
type timerPhase uint8

const (
	idle      timerPhase = iota // the timer does not run
	awaiting                    // waits for the acknowledgement of the oldest message
	probing                     // the acknowledgement is late; waits for a sign of life of the phone
	delaying                    // delay before the redelivery; few new messages of the lane are pushed
	repeating                   // the redelivery is being prepared; few new messages of the lane are pushed
)

// laneTimer is the only timer of a lane. It belongs to the oldest unacknowledged message. Its phases are:
//
//	idle → awaiting → delaying → repeating → awaiting …   redelivery
//	       awaiting → probing → delaying                  no sign of life since the push
//	       any phase → idle                               the oldest message left the window
type laneTimer struct {
	phase timerPhase
	due   time.Time // when the phase ends; unused in the phases idle and repeating
	probe uint32    // number of the probe that was sent when the acknowledgement became late
}

// backingOff reports whether a redelivery of the lane waits for its delay or is being prepared.
func (s *session) backingOff(lane esh3ar.Priority) bool {
	return s.lanes != nil && s.lanes[lane].phase >= delaying
}

// backoffWindowFraction is the part of the window that a lane in backoff may have unacknowledged in addition to the oldest message.
const backoffWindowFraction = 8

// laneHeld reports whether no new message of the lane may be pushed. A lane in backoff is not stopped: a message that the
// phone never acknowledges must not delay the lane's other messages by all of its backoffs. But only few of them are pushed
// at a time, because the phone may have stopped acknowledging altogether.
func (s *session) laneHeld(rules *Rules, lane esh3ar.Priority) bool {
	if !s.backingOff(lane) {
		return false
	}
	besides := -1 // unacknowledged messages of the lane, not counting the oldest
	for i := range s.window.entries {
		if e := &s.window.entries[i]; e.lane == lane && e.state == unacked {
			besides++
		}
	}
	return besides >= max(1, rules.Window/backoffWindowFraction)
}

// setTimer sets the timer of a lane.
func (s *session) setTimer(lane esh3ar.Priority, t laneTimer) {
	if s.lanes == nil {
		s.lanes = &[esh3ar.Priorities]laneTimer{}
	}
	s.lanes[lane] = t
}

// startTimer starts the lane's timer after a push, unless it runs already.
func (s *session) startTimer(rules *Rules, lane esh3ar.Priority, now time.Time) {
	if s.lanes == nil || s.lanes[lane].phase == idle {
		s.setTimer(lane, laneTimer{phase: awaiting, due: now.Add(rules.AckTimeout)})
	}
}

// removeFromWindow removes an unacknowledged entry from the window. The timer of a lane belongs to its oldest entry: if that
// one is removed, the timer restarts for the next. The caller must call restartTimers afterwards.
func (s *session) removeFromWindow(e *entry, to entryState) {
	oldest := s.window.oldest(e.lane) == e
	s.window.move(e, to)
	if !oldest && s.backingOff(e.lane) {
		s.mayHaveMore = true // the lane has room
	}
	if oldest && s.lanes != nil {
		s.mayHaveMore = s.mayHaveMore || s.lanes[e.lane].phase >= delaying // the lane is free again
		s.lanes[e.lane] = laneTimer{}
	}
}

// restartTimers starts the timer of every lane that has unacknowledged messages and no running timer, and stops the timers
// of all other lanes.
func (s *session) restartTimers(rules *Rules, now time.Time) {
	for lane := range esh3ar.Priorities {
		waits := s.window != nil && s.window.oldest(esh3ar.Priority(lane)) != nil
		switch {
		case waits:
			s.startTimer(rules, esh3ar.Priority(lane), now)
		case s.lanes != nil && s.lanes[lane].phase != idle:
			s.mayHaveMore = s.mayHaveMore || s.lanes[lane].phase >= delaying
			s.lanes[lane] = laneTimer{}
		}
	}
}

// due returns the time of the session's next timer; zero if none runs.
func (s *session) due() (next time.Time) {
	next = s.trialDue()
	if s.lanes == nil {
		return next
	}
	for _, t := range s.lanes {
		if (t.phase == awaiting || t.phase == probing || t.phase == delaying) && (next.IsZero() || t.due.Before(next)) {
			next = t.due
		}
	}
	return next
}

// tick handles the timers that are due. heard is the time at which the connection last received bytes; random is used for jitter.
func (s *session) tick(rules *Rules, now time.Time, heard int64, random func(int64) int64, fx *effects) {
	s.lose(rules, now, fx)
	if s.lanes == nil {
		return
	}
	for lane := range s.lanes {
		t := &s.lanes[lane]
		if t.phase == idle || t.phase == repeating || now.Before(t.due) {
			continue
		}
		e := s.window.oldest(esh3ar.Priority(lane)) // a running timer has an entry
		switch {
		case e.pending: // a repeat that began before the settlement of the acknowledgement failed is still in flight
			t.due = now.Add(rules.AckTimeout / 4)
		case t.phase == delaying:
			t.phase, e.pending = repeating, true
			s.scheduleRetry(rules, e, now, fx)
		case heard <= e.heard && !faultinject.Is(faultinject.DeadSocketSpends):
			s.probeConnection(rules, t, now, fx)
		case e.exhausted(rules):
			t.phase, e.pending = repeating, true
			s.scheduleRetry(rules, e, now, fx)
		default:
			s.delay(rules, t, e, now, random)
		}
	}
}

// probeRecheck bounds the time between two ticks of a session that waits for a sign of life. A session is on the wheel only once, so
// another timer that starts meanwhile may fire late by this time.
const probeRecheck = time.Second

// probeConnection probes a phone that has shown no sign of life since the push. The timer makes no progress until the phone answers, its
// application sends something, or the connection ends.
func (s *session) probeConnection(rules *Rules, t *laneTimer, now time.Time, fx *effects) {
	if t.phase == awaiting {
		s.probes++
		t.phase, t.probe, fx.probe = probing, s.probes, s.probes
	}
	t.due = now.Add(min(rules.AckTimeout/4, probeRecheck))
}

// probeAnswered handles the answer to a probe: everything that was pushed before it has reached the phone, and the time for the
// acknowledgement is over. The message is redelivered, but it is not given up: the network code of a frozen application answers too.
func (s *session) probeAnswered(rules *Rules, probe uint32, now time.Time, random func(int64) int64) {
	if s.lanes == nil {
		return
	}
	for lane := range s.lanes {
		t := &s.lanes[lane]
		if t.phase != probing || t.probe > probe {
			continue
		}
		if e := s.window.oldest(esh3ar.Priority(lane)); !e.pending && !e.exhausted(rules) {
			s.delay(rules, t, e, now, random)
		}
	}
}

// delay starts the delay before a redelivery.
func (s *session) delay(rules *Rules, t *laneTimer, e *entry, now time.Time, random func(int64) int64) {
	*t = laneTimer{phase: delaying, due: now.Add(rules.Backoff.Delay(int(e.attempt), random))}
}

// resumed handles that the process did not run for a while: acknowledgements that look late may have been received late.
func (s *session) resumed(rules *Rules, now time.Time) {
	if s.lanes == nil {
		return
	}
	for lane := range s.lanes {
		if t := &s.lanes[lane]; t.phase == awaiting || t.phase == probing {
			*t = laneTimer{phase: awaiting, due: now.Add(rules.AckTimeout)}
		}
	}
}

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
	s.mayHaveMore = true // the lane is free again
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
