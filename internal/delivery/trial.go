package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// suspect is a message that was alone on a connection, and its business.
type suspect struct {
	messageLife
	business esh3ar.BusinessID
}

// trial is the part of a session that follows the breaker of its device.
type trial struct {
	suspects  []esh3ar.BusinessID
	avoid     bool                          // their messages are passed over
	passed    [esh3ar.Priorities]esh3ar.Seq // per lane: the first that was passed over; zero: none
	beyond    [esh3ar.Priorities]bool       // per lane: something behind that was pushed
	alone     suspect                       // message that was pushed alone; zero: none
	waitsTill time.Time                     // end of the patience with it; zero: over
	stalled   bool                          // the patience with it ended
	acked     int                           // acknowledgements while one message goes at a time
	refreshBy time.Time                     // when a new connection is asked for although messages wait for acknowledgement; zero: none is needed
}

// onTrial reports whether the session follows the breaker: then it has to hear of it before each tick and before its end.
func (s *session) onTrial() bool { return s.gate != Closed || s.trial != nil }

// applyTerms takes how the breaker stands: half open by now, open for longer because another connection of the device has
// failed, or closed by one that acknowledged.
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

// holdsOn reports whether the suspects go on waiting although their trial is due: one of their messages is here and not
// acknowledged, or a new connection is needed.
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

// passes reports whether a message has to wait for the trial of its business.
func (s *session) passes(m *esh3ar.Message) bool {
	return s.trial != nil && s.trial.avoid && slices.Contains(s.trial.suspects, m.Business)
}

// passOver takes a message for read without pushing it.
func (s *session) passOver(m *esh3ar.Message) {
	s.read[m.Priority] = max(s.read[m.Priority], m.Seq)
	if first := &s.trial.passed[m.Priority]; *first == 0 || m.Seq < *first {
		*first = m.Seq
	}
}

// isBeyond reports whether the messages that were passed over can not go on this connection any more.
func (t *trial) isBeyond() bool { return slices.Contains(t.beyond[:], true) }

// rewind reads again what was passed over.
func (s *session) rewind() {
	for lane, first := range s.trial.passed {
		if first == 0 {
			continue
		}
		s.read[lane] = min(s.read[lane], first-1)
		s.seen = min(s.seen, first-1)
		s.needsCatchUp, s.mayHaveMore = true, true
		s.readStale = s.readStale || s.reading
	}
	s.trial.passed = [esh3ar.Priorities]esh3ar.Seq{}
	s.trial.beyond = [esh3ar.Priorities]bool{}
}

// refresh asks for a new connection, as soon as nothing waits for an acknowledgement, or in a while.
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

// tried notes the push of a message that goes alone.
func (s *session) tried(rules *Rules, p *Push, e *entry, now time.Time) {
	t := s.trial
	if t == nil || s.gate != HalfOpen || s.window.messages != 1 {
		return
	}
	t.alone = suspect{e.lived(), p.Message.Business}
	t.waitsTill, t.stalled = now.Add(rules.Breaker.Patience), false
}

// lose ends the patience with a message that is not acknowledged: the messages of other businesses go.
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
	s.gate, s.opensAt = Closed, now.Add(rules.Breaker.Patience) // then the breaker is asked
	s.mayHaveMore = true
	s.pump(rules, fx)
}

// heal takes the acknowledgement of something that was pushed on this connection. On trial the device is well when it has
// acknowledged a window of messages, or all that there are.
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
		t.alone, t.stalled = suspect{}, false // it is innocent even if its settlement fails
		s.acquit(rules, tried.business, now, fx)
	} else if s.gate == Closed && fx.verdict == none {
		fx.verdict = healthy
	}
	if t.acked++; t.acked >= rules.Window {
		s.recover(fx)
	}
}

// acquit takes the acknowledgement of a suspect's message: what was passed over may go, here or on a new connection.
func (s *session) acquit(rules *Rules, business esh3ar.BusinessID, now time.Time, fx *effects) {
	t := s.trial
	if t.avoid && t.isBeyond() {
		s.refresh(rules, now, fx)
		return
	}
	t.suspects = slices.DeleteFunc(slices.Clone(t.suspects), func(b esh3ar.BusinessID) bool { return b == business })
	s.rewind()
}

// conclude ends a trial that has nothing left to try.
func (s *session) conclude(fx *effects) {
	t := s.trial
	if s.gate != HalfOpen || t == nil || s.needsCatchUp || s.window != nil && s.window.messages > 0 || !s.well && len(t.suspects) == 0 {
		return
	}
	s.recover(fx)
}

// recover goes on as usual; the suspects that are avoided still wait.
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

// close is the end of the connection; byPeer says that the phone ended it, or vanished.
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

// trialDue is when the trial next wants the time; zero: not.
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
