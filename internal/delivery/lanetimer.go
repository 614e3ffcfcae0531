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

// stopTimer stops the timer of a lane, which frees a lane in backoff. The session has timers.
func (s *session) stopTimer(lane esh3ar.Priority) {
	if s.backingOff(lane) {
		s.inbox = s.inbox.mayFind()
	}
	s.lanes[lane] = laneTimer{}
}

// removeFromWindow removes an unacknowledged entry from the window. The timer of a lane belongs to its oldest entry: if that
// one is removed, the timer restarts for the next. The caller must call restartTimers afterwards.
func (s *session) removeFromWindow(e *entry, to entryState) {
	oldest := s.window.oldest(e.lane) == e
	s.window.move(e, to)
	if !oldest && s.backingOff(e.lane) {
		s.inbox = s.inbox.mayFind() // the lane has room
	}
	if oldest && s.lanes != nil {
		s.stopTimer(e.lane)
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
			s.stopTimer(esh3ar.Priority(lane))
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
