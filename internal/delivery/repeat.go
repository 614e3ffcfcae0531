package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// timerPhase is what a lane's timer waits for.
type timerPhase uint8

const (
	idle      timerPhase = iota
	awaiting             // the acknowledgement of the oldest message
	probing              // the same, which is late, and a sign of life
	delaying             // the pause before its repeat; few new messages of the lane go out
	repeating            // its repeat is being prepared; the same
)

// laneTimer is the one timer of a lane.
type laneTimer struct {
	phase timerPhase
	due   time.Time
	probe uint32 // number of the probe that was sent when the acknowledgement became late
}

func (s *session) backingOff(lane esh3ar.Priority) bool {
	return s.lanes != nil && s.lanes[lane].phase >= delaying
}

// besidesBackoff is the part of the window that a lane in backoff may have unacknowledged besides the oldest message.
const besidesBackoff = 8

// held reports whether no new message of the lane may go. A lane in backoff is not shut: one message that the phone never
// acknowledges must not keep the others of the lane waiting for all of its pauses. But it goes on with few at a time,
// because the phone may acknowledge nothing any more.
func (s *session) held(rules *Rules, lane esh3ar.Priority) bool {
	if !s.backingOff(lane) {
		return false
	}
	besides := -1 // the oldest
	for i := range s.window.entries {
		if e := &s.window.entries[i]; e.lane == lane && e.state == unacked {
			besides++
		}
	}
	return besides >= max(1, rules.Window/besidesBackoff)
}

func (s *session) setTimer(lane esh3ar.Priority, t laneTimer) {
	if s.lanes == nil {
		s.lanes = &[esh3ar.Priorities]laneTimer{}
	}
	s.lanes[lane] = t
}

// startTimer starts the lane's timer with a push, if it does not run.
func (s *session) startTimer(rules *Rules, lane esh3ar.Priority, now time.Time) {
	if s.lanes == nil || s.lanes[lane].phase == idle {
		s.setTimer(lane, laneTimer{phase: awaiting, due: now.Add(rules.AckTimeout)})
	}
}

// leave takes an unacknowledged entry out of the window. Its lane's timer is that of the oldest: if that leaves, the
// timer starts anew with the next. restartTimers must follow.
func (s *session) leave(e *entry, to entryState) {
	oldest := s.window.oldest(e.lane) == e
	s.window.move(e, to)
	if !oldest && s.backingOff(e.lane) {
		s.more = true // the lane has room
	}
	if oldest && s.lanes != nil {
		s.more = s.more || s.lanes[e.lane].phase >= delaying // the lane is free again
		s.lanes[e.lane] = laneTimer{}
	}
}

// restartTimers gives every lane that has something unacknowledged and no timer a new one, and stops the timers of lanes
// that have nothing.
func (s *session) restartTimers(rules *Rules, now time.Time) {
	for lane := range esh3ar.Priorities {
		waits := s.window != nil && s.window.oldest(esh3ar.Priority(lane)) != nil
		switch {
		case waits:
			s.startTimer(rules, esh3ar.Priority(lane), now)
		case s.lanes != nil && s.lanes[lane].phase != idle:
			s.more = s.more || s.lanes[lane].phase >= delaying
			s.lanes[lane] = laneTimer{}
		}
	}
}

// due is when the session next wants the time; zero: not.
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

// tick looks at the timers. heard is what the connection has last received; random serves the jitter.
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
		case e.pending: // a repeat from before its acknowledgement failed is still under way
			t.due = now.Add(rules.AckTimeout / 4)
		case t.phase == delaying:
			t.phase, e.pending = repeating, true
			s.prepare(rules, e, now, fx)
		case heard <= e.heard && !faultinject.Is(faultinject.DeadSocketSpends):
			s.ask(rules, t, now, fx)
		case e.exhausted(rules):
			t.phase, e.pending = repeating, true
			s.prepare(rules, e, now, fx)
		default:
			s.delay(rules, t, e, now, random)
		}
	}
}

// lookAgain bounds how long a session that waits for a sign of life does not look at its timers: a pause that begins meanwhile may end
// that much late, as a session is on the wheel once.
const lookAgain = time.Second

// ask probes a phone that has shown no sign of life since the push. The timer stands until it answers, its application is heard of,
// or its connection ends.
func (s *session) ask(rules *Rules, t *laneTimer, now time.Time, fx *effects) {
	if t.phase == awaiting {
		s.probes++
		t.phase, t.probe, fx.probe = probing, s.probes, s.probes
	}
	t.due = now.Add(min(rules.AckTimeout/4, lookAgain))
}

// answered takes the answer to a probe: what was pushed before has reached the phone, and the time for its acknowledgement is over.
// That is reason to repeat a message, and none to give it up: a frozen application has network code that answers.
func (s *session) answered(rules *Rules, probe uint32, now time.Time, random func(int64) int64) {
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

// delay begins the pause before a repeat.
func (s *session) delay(rules *Rules, t *laneTimer, e *entry, now time.Time, random func(int64) int64) {
	*t = laneTimer{phase: delaying, due: now.Add(rules.Backoff.Delay(int(e.attempt), random))}
}

// resumed says that the process itself did not run for a while: what looks late may be our own fault.
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

// exhausted tells whether the newest push was the last that the message had.
func (e *entry) exhausted(rules *Rules) bool {
	return !e.counted && int(e.attempt) >= rules.Attempts && !faultinject.Is(faultinject.RetryForgets)
}

// prepare counts the attempt of a repeat, unless that is done already and only the push failed. Behind the last attempt
// there is no repeat: the message becomes a dead letter.
func (s *session) prepare(rules *Rules, e *entry, now time.Time, fx *effects) {
	if e.counted {
		fx.reloads = append(fx.reloads, e.lived())
		return
	}
	t := ticket{kind: attemptTicket, one: e.lived()}
	if e.exhausted(rules) {
		t.kind = failTicket
	}
	fx.settles = append(fx.settles, settlement{changes: s.spend(rules, e, now), ticket: t})
}

// spend is what becomes of a message whose newest push went unacknowledged.
func (s *session) spend(rules *Rules, e *entry, now time.Time) []esh3ar.Change {
	next := esh3ar.Change{
		Message: e.id, Recipient: s.recipient, Life: e.life, Attempt: int(e.attempt) + 1, At: esh3ar.TimeOf(now),
	}
	sent := next // the first push may be unknown to the store: its settlement can have failed
	sent.To, sent.Attempt = esh3ar.Sent, int(e.attempt)
	if setback := e.setback(rules); setback.Reaction() == esh3ar.DeadLetter {
		next.To, next.Attempt, next.Reason = esh3ar.Failed, int(e.attempt), setback.String()
	}
	return []esh3ar.Change{sent, next}
}

// setback is what happened to a push that went unacknowledged.
func (e *entry) setback(rules *Rules) esh3ar.Code {
	if e.exhausted(rules) {
		return esh3ar.AttemptsSpent
	}
	return esh3ar.NotAcknowledged
}

// failed is the result of making a dead letter.
func (s *session) failed(rules *Rules, id lived, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	if e == nil { // acknowledged meanwhile: if that fails the next timeout comes here again
		s.abandonRepeat(id)
		return
	}
	if err != nil {
		s.delayAgain(e, now)
		return
	}
	if results[len(results)-1].Applied {
		fx.lapsed = append(fx.lapsed, id)
	}
	s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(results[len(results)-1].Progress.Status), now, fx)
}

// counted is the result of counting an attempt. Another device may have counted it, or ended the message.
func (s *session) counted(rules *Rules, id lived, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	if e == nil { // acknowledged meanwhile, and its lane is free
		s.abandonRepeat(id)
		return
	}
	if err != nil {
		s.delayAgain(e, now)
		return
	}
	stored := results[len(results)-1].Progress
	switch {
	case stored.Life != e.life || stored.Status.Ends():
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(stored.Status), now, fx)
	default:
		e.attempt, e.counted = int32(stored.Attempts), true
		fx.reloads = append(fx.reloads, id)
	}
}

// reloaded brings a message whose repeat is due, as the store has it now.
func (s *session) reloaded(rules *Rules, id lived, record *esh3ar.Record, err error, now time.Time, fx *effects) {
	e := s.unacked(id)
	switch {
	case e == nil:
		s.abandonRepeat(id)
	case err != nil || s.full:
		s.delayAgain(e, now)
	case record.Status.Ends() || record.Life != e.life:
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, endOf(record.Status), now, fx)
	case record.Expired(esh3ar.TimeOf(now)):
		s.expire(&record.Message, e.life, now, fx)
		s.endedElsewhere(rules, []esh3ar.MessageID{id.id}, lapsed, now, fx)
	default:
		fx.repeat = &Push{Message: &record.Message, Attempt: int(e.attempt), life: e.life}
	}
}

// repeated says whether the connection took a repeat.
func (s *session) repeated(rules *Rules, id lived, ok bool, now time.Time, heard int64, fx *effects) {
	e := s.unacked(id)
	if e == nil {
		s.abandonRepeat(id)
		return
	}
	if !ok {
		s.full = true
		s.delayAgain(e, now)
		return
	}
	s.pushedAt = now
	e.pushed, e.heard, e.counted, e.pending = now, heard, false, false
	s.setTimer(e.lane, laneTimer{phase: awaiting, due: now.Add(rules.AckTimeout)})
	s.more = true // the lane is free again
	s.pump(rules, fx)
}

func (e *entry) lived() lived { return lived{e.id, e.life} }

// unacked finds an entry that still waits.
func (s *session) unacked(id lived) *entry {
	if e := s.entry(id); e != nil && e.state == unacked {
		return e
	}
	return nil
}

// entry finds the entry of a message in one of its lives.
func (s *session) entry(id lived) *entry {
	for i := 0; s.window != nil && i < len(s.window.entries); i++ {
		if e := &s.window.entries[i]; e.lived() == id {
			return e
		}
	}
	return nil
}

// abandonRepeat forgets a repeat in preparation whose message is being settled.
func (s *session) abandonRepeat(id lived) {
	if e := s.entry(id); e != nil {
		e.pending = false
	}
}

// delayAgain puts a repeat off because the store did not answer or the connection is full.
func (s *session) delayAgain(e *entry, now time.Time) {
	e.pending = false
	s.setTimer(e.lane, laneTimer{phase: delaying, due: now.Add(time.Second)})
}
