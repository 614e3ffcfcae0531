package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// Rules are what sessions go by.
type Rules struct {
	Window      int           // messages unacknowledged at a time
	WindowBytes int           // bytes of those; one message alone may be larger
	AckTimeout  time.Duration // from a push to its acknowledgement
	Attempts    int           // pushes of one life that may go unacknowledged; after the last the message is a dead letter
	Backoff     flow.Backoff  // before repeats
	Breaker     BreakerRules
}

// session is the machine of one connection. Its methods are its events; each takes what the event carries and the time,
// and adds effects to fx. It has no lock: one worker at a time steps it.
type session struct {
	recipient esh3ar.Recipient
	seen      esh3ar.Seq                    // every seq up to it is known: pushed, ended, or waiting behind the read positions
	highest   esh3ar.Seq                    // the highest seq that a hint or a sweep named
	counter   esh3ar.Seq                    // of the newest read
	read      [esh3ar.Priorities]esh3ar.Seq // per lane: pushed or ended up to it
	behind    bool                          // the inbox holds, or may hold, what was not pushed
	reading   bool                          // a read is under way
	more      bool                          // a read now may find something
	full      bool                          // the connection refused a push
	void      bool                          // the read under way began before that: its page is not in order any more
	well      bool                          // the phone acknowledged something that was pushed here
	gate      BreakerState                  // of the device's breaker, as far as this connection has to heed it
	opensAt   time.Time                     // when an open gate becomes half open
	pushedAt  time.Time                     // the newest push; zero: none
	trial     *trial                        // nil: the breaker asks for nothing
	window    *window                       // nil: empty
	lanes     *[esh3ar.Priorities]laneTimer // nil: no timer runs
	probes    uint32                        // number of the newest probe
}

// open starts the session: whatever the inbox holds is unknown yet.
func (s *session) open(rules *Rules, t terms, now time.Time, fx *effects) {
	s.behind, s.more = true, true
	s.hearTerms(rules, t, now, fx)
}

// hint says that a message was stored; m may be nil when only its seq is known.
func (s *session) hint(rules *Rules, seq esh3ar.Seq, m *esh3ar.Message, now time.Time, fx *effects) {
	s.highest = max(s.highest, seq)
	fits := seq == s.seen+1 || faultinject.Is(faultinject.HintIsTruth)
	switch {
	case s.behind:
		s.more = s.more || seq > s.counter
		s.pump(rules, fx)
	case seq <= s.seen:
	case fits && m != nil && m.Expired(esh3ar.TimeOf(now)):
		s.seen = seq
		s.expire(m, 1, now, fx)
	case fits && m != nil && s.passes(m):
		s.seen = seq
		s.passOver(m)
	case fits && m != nil && s.takes(rules, m):
		s.seen = seq
		fx.batch.Live = true
		s.push(Push{Message: m, Attempt: 1}, 1, fx)
	default:
		s.behind, s.more = true, true
		s.pump(rules, fx)
	}
}

// sweep compares with the recipient's counter in the store.
func (s *session) sweep(rules *Rules, counter esh3ar.Seq, fx *effects) {
	if faultinject.Is(faultinject.SweepOff) {
		return
	}
	s.highest = max(s.highest, counter)
	if !s.behind && counter <= s.seen {
		return
	}
	fx.swept = !s.behind
	s.behind, s.more = true, true
	s.pump(rules, fx)
}

// takes tells whether m may be pushed now, ahead of nothing that waits.
func (s *session) takes(rules *Rules, m *esh3ar.Message) bool {
	return !s.full && !s.held(rules, m.Priority) && s.fits(rules, m)
}

// room is how many messages the window takes.
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

// pump reads the inbox if the session is behind, a read may find something, and the window takes it.
func (s *session) pump(rules *Rules, fx *effects) {
	room := s.room(rules)
	if !s.behind || !s.more || s.reading || s.full || room <= 0 {
		return
	}
	q := &esh3ar.InboxQuery{Recipient: s.recipient, Limit: room, Bytes: rules.WindowBytes}
	if s.window != nil {
		q.Bytes -= s.window.bytes
	}
	free := false
	for lane := range q.After {
		q.After[lane] = max(s.read[lane], s.seen)
		q.Skip[lane] = s.held(rules, esh3ar.Priority(lane))
		free = free || !q.Skip[lane]
	}
	if !free {
		return
	}
	s.reading, s.more = true, false
	fx.read = q
}

// page is the result of a read; err means that the store could not answer, and the sweep will ask again.
func (s *session) page(rules *Rules, page *esh3ar.InboxPage, err error, now time.Time, fx *effects) {
	s.reading = false
	if s.void {
		s.void, s.more = false, true
		s.pump(rules, fx)
		return
	}
	if err != nil {
		return
	}
	s.counter = max(s.counter, page.Counter)
	if !s.more && !faultinject.Is(faultinject.HintBelieved) {
		s.highest = min(s.highest, page.Counter) // whatever named more is older than the read, and wrong
	}
	taken := s.takePage(rules, page, now, fx)
	if (page.Ended || faultinject.Is(faultinject.CursorTooFar)) && taken == len(page.Records) && s.highest <= page.Counter {
		s.behind = false
		s.seen = page.Counter
		s.conclude(fx)
		return
	}
	s.more = s.more || len(page.Records) > 0 || s.highest > page.Counter
	if taken > 0 || len(page.Records) == 0 { // else only an event can change what held the page up
		s.pump(rules, fx)
	}
}

// takePage pushes what still may go. A lane may have gone into backoff during the read, and a first message may be larger
// than what is left of the window: what does not go now is read again, and so is all behind it in its lane.
func (s *session) takePage(rules *Rules, page *esh3ar.InboxPage, now time.Time, fx *effects) (taken int) {
	var held [esh3ar.Priorities]bool
	for i := range page.Records {
		r := &page.Records[i]
		if s.passes(&r.Message) && !held[r.Priority] {
			taken++
			s.passOver(&r.Message)
			continue
		}
		if held[r.Priority] || s.full || s.held(rules, r.Priority) || !s.fits(rules, &r.Message) {
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

// fits reports whether the window takes m; an empty window takes any size.
func (s *session) fits(rules *Rules, m *esh3ar.Message) bool {
	return s.room(rules) > 0 &&
		(s.window == nil || s.window.messages == 0 || s.window.bytes+m.Size() <= rules.WindowBytes)
}

// expire ends a message whose time is over before it is pushed. If that is lost its task will do it.
func (s *session) expire(m *esh3ar.Message, life esh3ar.Life, now time.Time, fx *effects) {
	fx.settles = append(fx.settles, settlement{changes: []esh3ar.Change{{
		Message: m.ID, Recipient: s.recipient, Life: life, To: esh3ar.Expired, At: esh3ar.TimeOf(now),
	}}})
}

// push puts a message into the batch and into the window.
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
	if e := s.window.find(m.ID); e != nil { // of a life before a replay: the phone may yet acknowledge that
		s.window.move(e, lapsed)
	}
	s.window.add(entry{
		id: m.ID, seq: m.Seq, life: life, lane: m.Priority, size: int32(m.Size()), attempt: int32(p.Attempt),
	})
}

// pushed says that a batch went out: its messages are on the way, and that is worth a status.
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

// refused says that the connection took nothing of a batch: it never happened, and is read again when there is room.
func (s *session) refused(batch Batch) {
	s.full, s.behind, s.more = true, true, true
	s.void = s.reading && !faultinject.Is(faultinject.OrderLost)
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
	s.tidy()
}

// writable says that the connection has room again.
func (s *session) writable(rules *Rules, fx *effects) {
	s.full = false
	s.pump(rules, fx)
}

// tidy gives back what an idle session does not need.
func (s *session) tidy() {
	if s.window != nil && !s.window.trim() {
		s.window = nil
	}
	if s.lanes != nil && *s.lanes == [esh3ar.Priorities]laneTimer{} {
		s.lanes = nil
	}
}
