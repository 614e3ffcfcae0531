package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// suspect is the only unacknowledged message of a connection, and its business.
type suspect struct {
	messageLife
	business esh3ar.BusinessID
}

// trial is the state of a session that the breaker of its device restricts. A session without restrictions has none. It is
// part of the session's step: only the worker that runs the session uses it.
type trial struct {
	suspects  []esh3ar.BusinessID           // suspects of the breaker, and one of this session if stalled; replaced, never modified
	avoid     bool                          // the suspects' messages are passed over
	passed    [esh3ar.Priorities]esh3ar.Seq // per lane: the first message that was passed over; zero: none
	beyond    [esh3ar.Priorities]bool       // per lane: a message after the first passed one was pushed
	alone     suspect                       // message that was pushed alone; zero: none
	waitsTill time.Time                     // when the patience with that message ends; zero: it has ended, or there is none
	stalled   bool                          // the patience ended without an acknowledgement
	acked     int                           // acknowledgements on this connection during the trial
	refreshBy time.Time                     // when the phone is asked to reconnect even if messages are unacknowledged; zero: no need
}

// onTrial reports whether the breaker restricts the session. If so, the worker calls applyTerms before each tick and before
// the close.
func (s *session) onTrial() bool { return s.gate != Closed || s.trial != nil }

// applyTerms applies the current terms of the breaker. Since the last call it may have become half open, stayed open for
// longer because another connection of the device failed, or closed because another connection acknowledged.
func (s *session) applyTerms(rules *Rules, t terms, now time.Time, fx *effects) {
	if s.trial == nil && t.gate == Closed && !t.avoid {
		s.gate, s.opensAt = Closed, time.Time{}
		s.pump(rules, fx)
		return
	}
	if s.trial == nil {
		s.trial = &trial{}
	}
	if t.gate == Closed && !t.avoid { // the phone has acknowledged on another connection
		s.trial.alone, s.trial.stalled = suspect{}, false
	}
	if s.trial.avoid && !t.avoid && s.holdsOn(rules, now, fx) {
		return
	}
	s.gate, s.opensAt, s.trial.suspects, s.trial.avoid = t.gate, t.opensAt, t.suspects, t.avoid
	s.trial.refreshBy = time.Time{}
	if !t.avoid {
		s.rewind()
	}
	if t.gate == Closed && !t.avoid {
		s.trial = nil
	}
	s.pump(rules, fx)
	s.conclude(fx)
}

// holdsOn reports whether the trial of the suspects is postponed by BreakerRules.Patience, because this connection has an
// unacknowledged message of theirs, or because it has pushed later messages and a new connection is needed.
func (s *session) holdsOn(rules *Rules, now time.Time, fx *effects) bool {
	waits := s.trial.stalled && s.unacked(s.trial.alone.messageLife) != nil
	if !waits && !s.trial.isBeyond() {
		return false
	}
	if !waits {
		s.refresh(rules, now, fx)
	}
	s.opensAt = now.Add(rules.Breaker.Patience)
	s.pump(rules, fx)
	return true
}

// passes reports whether m must be passed over, because its business is a suspect that waits for a trial.
func (s *session) passes(m *esh3ar.Message) bool {
	return s.trial != nil && s.trial.avoid && slices.Contains(s.trial.suspects, m.Business)
}

// passOver marks a message as read without pushing it. It records where rewind has to start.
func (s *session) passOver(m *esh3ar.Message) {
	s.read[m.Priority] = max(s.read[m.Priority], m.Seq)
	if first := &s.trial.passed[m.Priority]; *first == 0 || m.Seq < *first {
		*first = m.Seq
	}
}

// isBeyond reports whether the connection has pushed messages after those that were passed over. Then it can no longer push
// the passed ones in order.
func (t *trial) isBeyond() bool { return slices.Contains(t.beyond[:], true) }

// rewind moves the read positions back to the first passed message of each lane, so that catch-up reads them again. A read
// in progress is marked stale.
func (s *session) rewind() {
	for lane, first := range s.trial.passed {
		if first == 0 {
			continue
		}
		s.read[lane] = min(s.read[lane], first-1)
		s.seen = min(s.seen, first-1)
		s.inbox = s.inbox.discard()
	}
	s.trial.passed = [esh3ar.Priorities]esh3ar.Seq{}
	s.trial.beyond = [esh3ar.Priorities]bool{}
}

// refresh asks the phone to connect again as soon as no message is unacknowledged, or after BreakerRules.Within at the latest.
func (s *session) refresh(rules *Rules, now time.Time, fx *effects) {
	t := s.trial
	if t.refreshBy.IsZero() {
		t.refreshBy = now.Add(rules.Breaker.Within)
	}
	if s.window == nil || s.window.messages == 0 || !now.Before(t.refreshBy) {
		fx.refresh = true
		t.refreshBy = now.Add(rules.Breaker.Within)
	}
}

// tried records the push of a message on trial: it is the only unacknowledged message while the gate is half open.
func (s *session) tried(rules *Rules, p *Push, e *entry, now time.Time) {
	t := s.trial
	if t == nil || s.gate != HalfOpen || s.window.messages != 1 {
		return
	}
	t.alone = suspect{e.lived(), p.Message.Business}
	t.waitsTill, t.stalled = now.Add(rules.Breaker.Patience), false
}

// lose checks the patience with the message on trial. When it ends, the business of the message becomes a suspect, and the
// messages of other businesses are pushed again.
func (s *session) lose(rules *Rules, now time.Time, fx *effects) {
	t := s.trial
	if t == nil || t.waitsTill.IsZero() || now.Before(t.waitsTill) {
		return
	}
	t.waitsTill = time.Time{}
	if s.gate != HalfOpen || s.unacked(t.alone.messageLife) == nil {
		return
	}
	fx.verdict, fx.culprit = stalling, t.alone
	t.stalled, t.avoid = true, true
	if !slices.Contains(t.suspects, t.alone.business) {
		t.suspects = append(slices.Clone(t.suspects), t.alone.business)
	}
	s.gate, s.opensAt = Closed, now.Add(rules.Breaker.Patience) // the next applyTerms is due then
	s.inbox = s.inbox.mayFind()
	s.pump(rules, fx)
}

// heal records the acknowledgement of a message that was pushed on this connection. A trial is passed when the phone has
// acknowledged as many messages as a window holds, or all that wait (see conclude).
func (s *session) heal(rules *Rules, e *entry, now time.Time, fx *effects) {
	s.well = true
	t := s.trial
	if t == nil || s.gate == Open {
		s.gate, s.trial = Closed, nil
		fx.verdict = healthy
		return
	}
	if tried := t.alone; e.lived() == tried.messageLife && slices.Contains(t.suspects, tried.business) {
		fx.verdict, fx.culprit = cleared, tried
		t.alone, t.stalled = suspect{}, false // the phone handled the message, even if its settlement fails
		s.acquit(rules, tried.business, now, fx)
	} else if s.gate == Closed && fx.verdict == none {
		fx.verdict = healthy
	}
	if t.acked++; t.acked >= rules.Window {
		s.recover(fx)
	}
}

// acquit removes a business from the suspects after the acknowledgement of its message. Its passed messages are pushed on
// this connection, or on a new one if this one has pushed later messages.
func (s *session) acquit(rules *Rules, business esh3ar.BusinessID, now time.Time, fx *effects) {
	t := s.trial
	if t.avoid && t.isBeyond() {
		s.refresh(rules, now, fx)
		return
	}
	t.suspects = slices.DeleteFunc(slices.Clone(t.suspects), func(b esh3ar.BusinessID) bool { return b == business })
	s.rewind()
}

// conclude ends the trial if the inbox is read and every message is acknowledged.
func (s *session) conclude(fx *effects) {
	t := s.trial
	if s.gate != HalfOpen || t == nil || s.inbox != caughtUp || s.window != nil && s.window.messages > 0 || !s.well && len(t.suspects) == 0 {
		return
	}
	s.recover(fx)
}

// recover ends the one-at-a-time mode. If the messages of suspects are passed over, they still wait for a trial of their own.
func (s *session) recover(fx *effects) {
	if s.gate != HalfOpen {
		return
	}
	s.gate = Closed
	if s.trial.avoid {
		fx.verdict = healthy
		return
	}
	fx.verdict = recovered
	s.trial = nil
}

// close derives the verdict on the device from the end of the connection. byPeer reports whether the phone closed it or
// disappeared; a close by the server is no evidence. The connection failed if it ended within BreakerRules.Within of a push
// without any acknowledgement. If a single message was on trial, that message is the culprit and its attempt is recorded.
func (s *session) close(rules *Rules, byPeer bool, now time.Time, fx *effects) {
	if !byPeer || s.pushedAt.IsZero() {
		return
	}
	if t := s.trial; t != nil && (s.gate == HalfOpen || t.stalled) {
		e := s.unacked(t.alone.messageLife)
		if e != nil && !e.attemptRecorded && now.Sub(e.pushed) <= rules.Breaker.Within {
			fx.verdict, fx.culprit = failing, t.alone
			fx.settles = append(fx.settles, settlement{changes: s.attemptChanges(rules, e, now)})
			return
		}
	}
	if !s.well && now.Sub(s.pushedAt) <= rules.Breaker.Within {
		fx.verdict = failing
	}
}

// trialDue returns the time at which the trial needs the next tick; zero if it needs none.
func (s *session) trialDue() (next time.Time) {
	if s.gate == Open {
		next = s.opensAt
	}
	t := s.trial
	if t == nil {
		return next
	}
	if t.avoid && s.gate != Open {
		next = s.opensAt
	}
	if !t.waitsTill.IsZero() && (next.IsZero() || t.waitsTill.Before(next)) {
		next = t.waitsTill
	}
	return next
}
