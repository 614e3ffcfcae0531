package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// Rules are the parameters of sessions.
type Rules struct {
	Window      int           // most unacknowledged messages
	WindowBytes int           // most unacknowledged bytes; a single message may be larger
	AckTimeout  time.Duration // longest time from a push to its acknowledgement
	Attempts    int           // pushes in one life; if the last is not acknowledged, the message becomes a dead letter
	Backoff     flow.Backoff  // delays before redeliveries
	Breaker     BreakerRules
}

// session is the state machine of one connection. Each event is a method, which takes the data of the event and the time and adds effects
// to fx. A session has no lock: one worker at a time runs it.
type session struct {
	recipient     esh3ar.Recipient
	seen          esh3ar.Seq                    // every seq up to it is known: pushed, ended, or after the read position of its lane
	highestHinted esh3ar.Seq                    // highest seq in a hint or a sweep
	counter       esh3ar.Seq                    // highest seq of the recipient at the last read
	read          [esh3ar.Priorities]esh3ar.Seq // read position per lane: all below it is pushed or ended
	inbox         catchUp                       // progress of reading the inbox
	blocked       bool                          // the connection refused a push and is not writable yet
	well          bool                          // the phone acknowledged something that was pushed here
	gate          BreakerState                  // of the device's breaker, as far as this connection has to heed it
	opensAt       time.Time                     // when an open gate becomes half open
	pushedAt      time.Time                     // time of the last push; zero if none
	trial         *trial                        // nil: the breaker asks for nothing
	window        *window                       // nil if empty
	lanes         *[esh3ar.Priorities]laneTimer // nil if no timer runs
	probes        uint32                        // number of the newest probe
}

// open starts the session. The contents of the inbox are unknown then.
func (s *session) open(rules *Rules, t terms, now time.Time, fx *effects) {
	s.inbox = s.inbox.needRead()
	s.applyTerms(rules, t, now, fx)
}

// hint handles the hint that a message was stored. m is nil if only its seq is known.
func (s *session) hint(rules *Rules, seq esh3ar.Seq, m *esh3ar.Message, now time.Time, fx *effects) {
	s.highestHinted = max(s.highestHinted, seq)
	fits := seq == s.seen+1 || faultinject.Is(faultinject.HintIsTruth)
	switch {
	case s.inbox != caughtUp:
		if seq > s.counter {
			s.inbox = s.inbox.needRead()
		}
		s.pump(rules, fx)
	case seq <= s.seen:
	case fits && m != nil && m.Expired(esh3ar.TimeOf(now)):
		s.seen = seq
		s.expire(m, 1, now, fx)
	case fits && m != nil && s.passes(m):
		s.seen = seq
		s.passOver(m)
	case fits && m != nil && s.canPush(rules, m):
		s.seen = seq
		fx.batch.Live = true
		s.push(Push{Message: m, Attempt: 1}, 1, fx)
	default:
		s.inbox = s.inbox.needRead()
		s.pump(rules, fx)
	}
}

// sweep handles the recipient's counter from the store.
func (s *session) sweep(rules *Rules, counter esh3ar.Seq, fx *effects) {
	if faultinject.Is(faultinject.SweepOff) {
		return
	}
	s.highestHinted = max(s.highestHinted, counter)
	if s.inbox == caughtUp && counter <= s.seen {
		return
	}
	fx.swept = s.inbox == caughtUp
	s.inbox = s.inbox.needRead()
	s.pump(rules, fx)
}

// canPush reports whether m may be pushed now: the connection, its lane and the window have room.
func (s *session) canPush(rules *Rules, m *esh3ar.Message) bool {
	return !s.blocked && !s.laneHeld(rules, m.Priority) && s.fits(rules, m)
}

// room returns the number of messages that the window has room for.
func (s *session) room(rules *Rules) int {
	most := rules.Window
	switch s.gate {
	case Closed:
	case HalfOpen:
		most = 1
	case Open:
		return 0
	}
	if s.window == nil {
		return most
	}
	if s.window.messages > 0 && s.window.bytes >= rules.WindowBytes {
		return 0
	}
	return most - s.window.messages
}

// pump starts a read of the inbox if the session is behind, and the connection, the window and a lane have room.
func (s *session) pump(rules *Rules, fx *effects) {
	room := s.room(rules)
	if s.inbox != behind || s.blocked || room <= 0 {
		return
	}
	q := &esh3ar.InboxQuery{Recipient: s.recipient, Limit: room, Bytes: rules.WindowBytes}
	if s.window != nil {
		q.Bytes -= s.window.bytes
	}
	free := false
	for lane := range q.After {
		q.After[lane] = max(s.read[lane], s.seen)
		q.Skip[lane] = s.laneHeld(rules, esh3ar.Priority(lane))
		free = free || !q.Skip[lane]
	}
	if !free {
		return
	}
	s.inbox = s.inbox.start()
	fx.read = q
}

// page handles the result of a read. If err is not nil, the next sweep starts a new read.
func (s *session) page(rules *Rules, page *esh3ar.InboxPage, err error, now time.Time, fx *effects) {
	began := s.inbox
	s.inbox = s.inbox.readEnded()
	if began == discarding {
		s.pump(rules, fx)
		return
	}
	if err != nil {
		return
	}
	s.counter = max(s.counter, page.Counter)
	if began == reading && !faultinject.Is(faultinject.HintBelieved) {
		s.highestHinted = min(s.highestHinted, page.Counter) // a hint with a higher seq is older than the read, and wrong
	}
	taken := s.takePage(rules, page, now, fx)
	if (page.Ended || faultinject.Is(faultinject.CursorTooFar)) && taken == len(page.Records) && s.highestHinted <= page.Counter {
		s.inbox = s.inbox.finish()
		s.seen = page.Counter
		s.conclude(fx)
		return
	}
	if len(page.Records) > 0 || s.highestHinted > page.Counter {
		s.inbox = s.inbox.needRead()
	}
	if taken > 0 || len(page.Records) == 0 { // otherwise only an event can make room
		s.pump(rules, fx)
	}
}

// takePage pushes the messages of a page that may be pushed, and returns how many it has handled. A lane may have entered backoff during the
// read, and a message may be larger than the rest of the window. Such a message and all after it in its lane are read again.
func (s *session) takePage(rules *Rules, page *esh3ar.InboxPage, now time.Time, fx *effects) (taken int) {
	var held [esh3ar.Priorities]bool
	for i := range page.Records {
		r := &page.Records[i]
		if s.passes(&r.Message) && !held[r.Priority] {
			taken++
			s.passOver(&r.Message)
			continue
		}
		if held[r.Priority] || s.blocked || s.laneHeld(rules, r.Priority) || !s.fits(rules, &r.Message) {
			held[r.Priority] = true
			continue
		}
		taken++
		if r.Expired(esh3ar.TimeOf(now)) && !faultinject.Is(faultinject.ExpiredPushed) {
			s.read[r.Priority] = max(s.read[r.Priority], r.Seq)
			s.expire(&r.Message, r.Life, now, fx)
			continue
		}
		s.push(Push{Message: &r.Message, Attempt: max(r.Attempts, 1), known: r.Status == esh3ar.Sent}, r.Life, fx)
	}
	return taken
}

// fits reports whether the window has room for m. An empty window has room for any message.
func (s *session) fits(rules *Rules, m *esh3ar.Message) bool {
	return s.room(rules) > 0 &&
		(s.window == nil || s.window.messages == 0 || s.window.bytes+m.Size() <= rules.WindowBytes)
}

// expire ends a message whose TTL ended before it was pushed. If this change is lost, the message's task expires it.
func (s *session) expire(m *esh3ar.Message, life esh3ar.Life, now time.Time, fx *effects) {
	fx.settles = append(fx.settles, settlement{changes: []esh3ar.Change{{
		Message: m.ID, Recipient: s.recipient, Life: life, To: esh3ar.Expired, At: esh3ar.TimeOf(now),
	}}})
}

// push adds a message to the batch and to the window.
func (s *session) push(p Push, life esh3ar.Life, fx *effects) {
	fx.batch.Pushes = append(fx.batch.Pushes, p)
	m := p.Message
	s.read[m.Priority] = max(s.read[m.Priority], m.Seq)
	if t := s.trial; t != nil && t.passed[m.Priority] != 0 && m.Seq > t.passed[m.Priority] {
		t.beyond[m.Priority] = true
	}
	if s.window == nil {
		s.window = &window{}
	}
	if e := s.window.find(m.ID); e != nil { // an earlier life, before a replay; the phone may still acknowledge it
		s.window.move(e, endedUnacked)
	}
	s.window.add(entry{
		id: m.ID, seq: m.Seq, life: life, lane: m.Priority, size: int32(m.Size()), attempt: int32(p.Attempt),
	})
}

// pushed handles a batch that the connection took: it starts timers and changes the status of the messages to Sent.
func (s *session) pushed(rules *Rules, batch Batch, now time.Time, heard int64, fx *effects) {
	s.pushedAt = now
	if s.window == nil {
		return
	}
	changes := make([]esh3ar.Change, 0, len(batch.Pushes))
	for _, p := range batch.Pushes {
		e := s.window.find(p.Message.ID)
		if e == nil {
			continue
		}
		e.pushed, e.heard = now, heard
		s.startTimer(rules, e.lane, now)
		s.tried(rules, &p, e, now)
		if p.known {
			continue
		}
		changes = append(changes, esh3ar.Change{
			Message: e.id, Recipient: s.recipient, Life: e.life, To: esh3ar.Sent, Attempt: p.Attempt, At: esh3ar.TimeOf(now),
		})
	}
	if len(changes) > 0 {
		fx.settles = append(fx.settles, settlement{changes: changes})
	}
}

// refused handles a batch that the connection did not take. Its messages leave the window and are read again when there is room.
func (s *session) refused(batch Batch) {
	s.blocked = true
	if faultinject.Is(faultinject.OrderLost) {
		s.inbox = s.inbox.needRead()
	} else {
		s.inbox = s.inbox.discard()
	}
	ids := make([]esh3ar.MessageID, len(batch.Pushes))
	for i, p := range batch.Pushes {
		m := p.Message
		ids[i] = m.ID
		s.read[m.Priority] = min(s.read[m.Priority], m.Seq-1)
		s.seen = min(s.seen, m.Seq-1)
	}
	if s.window != nil {
		s.window.drop(ids)
	}
	s.releaseIdle()
}

// writable handles that the connection has room again.
func (s *session) writable(rules *Rules, fx *effects) {
	s.blocked = false
	s.pump(rules, fx)
}

// releaseIdle frees memory that an idle session does not need.
func (s *session) releaseIdle() {
	if s.window != nil && !s.window.trim() {
		s.window = nil
	}
	if s.lanes != nil && *s.lanes == [esh3ar.Priorities]laneTimer{} {
		s.lanes = nil
	}
}
