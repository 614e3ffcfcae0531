package delivery

import (
	"bytes"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// acknowledge settles messages of the session's recipient, whether they were pushed here or not; read says that the
// user saw them, which implies the acknowledgement. call is completed when that is durable.
func (s *session) acknowledge(rules *Rules, ids []esh3ar.MessageID, read bool, call func(error), now time.Time, fx *effects) {
	t := ticket{kind: ackTicket, read: read, call: call}
	unknown := s.sortOut(rules, ids, &t, now, fx)
	if len(t.ids)+len(t.join)+len(unknown) == 0 {
		fx.complete(call, nil)
		return
	}
	if faultinject.Is(faultinject.AckBeforeCommit) {
		fx.complete(call, nil)
		t.call = nil
	}
	if len(unknown) > 0 {
		rest := ticket{kind: ackTicket, read: read, call: t.call}
		if len(t.ids)+len(t.join) > 0 {
			rest.call = inTwo(t.call)
			t.call = rest.call
		}
		fx.settles = append(fx.settles, settlement{s.receipts(unknown, read, now), rest, len(unknown)})
	}
	if len(t.ids)+len(t.join) > 0 {
		fx.settles = append(fx.settles, settlement{changes: s.receipts(t.ids, read, now), ticket: t})
	}
	s.restartTimers(rules, now)
	s.opened(rules, fx)
}

// sortOut divides the ids of a call. An entry of the window is acknowledged once and read once; what repeats that joins
// the call that is under way, and asks nothing of the store. Ids without an entry were pushed on another connection, or
// long ago, or are made up: those it returns, each once.
func (s *session) sortOut(rules *Rules, ids []esh3ar.MessageID, t *ticket, now time.Time, fx *effects) (unknown []esh3ar.MessageID) {
	for _, id := range ids {
		var e *entry
		if s.window != nil {
			e = s.window.find(id)
		}
		if e != nil {
			s.heal(rules, e, now, fx)
		}
		switch {
		case e == nil:
			unknown = append(unknown, id)
		case !e.acked || t.read && !e.read:
			e.acked, e.read = true, e.read || t.read
			e.calls++
			t.ids = append(t.ids, id)
			if e.state == unacked {
				s.leave(e, settling)
			}
		case e.state != ended || e.calls > 0:
			e.calls++
			t.join = append(t.join, id)
		}
	}
	slices.SortFunc(unknown, func(a, b esh3ar.MessageID) int { return bytes.Compare(a.UUID[:], b.UUID[:]) })
	return slices.Compact(unknown)
}

// inTwo makes the completion of a call that is settled in two parts: the second one completes it, with an error if either
// failed. The parts may end on different goroutines.
func inTwo(call func(error)) func(error) {
	if call == nil {
		return nil
	}
	var first atomic.Pointer[error]
	return func(err error) {
		if first.CompareAndSwap(nil, &err) {
			return
		}
		if err == nil {
			err = *first.Load()
		}
		call(err)
	}
}

// receipts returns the changes that acknowledge messages.
func (s *session) receipts(ids []esh3ar.MessageID, read bool, now time.Time) []esh3ar.Change {
	at, changes := esh3ar.TimeOf(now), make([]esh3ar.Change, 0, len(ids))
	for _, id := range ids {
		changes = append(changes, esh3ar.Change{Message: id, Recipient: s.recipient, To: esh3ar.Delivered, At: at})
		if read {
			changes = append(changes, esh3ar.Change{Message: id, Recipient: s.recipient, To: esh3ar.Read, At: at})
		}
	}
	return changes
}

// acknowledgeUpTo settles the message with that seq and all that were first pushed on this connection before it. A seq
// that was not pushed here is ignored.
func (s *session) acknowledgeUpTo(rules *Rules, seq esh3ar.Seq, call func(error), now time.Time, fx *effects) {
	var ids []esh3ar.MessageID
	if s.window != nil {
		for _, e := range s.window.upTo(seq) {
			if e.state != ended || e.calls > 0 {
				ids = append(ids, e.id)
			}
		}
	}
	s.acknowledge(rules, ids, false, call, now, fx)
}

// settled is the result of a settlement; err means that none of its changes is durable.
func (s *session) settled(rules *Rules, t ticket, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	switch t.kind {
	case sentTicket: // lost statuses cost nothing but themselves: the acknowledgement will say more
	case attemptTicket:
		s.counted(rules, t.one, results, err, now, fx)
	case failTicket:
		s.failed(rules, t.one, results, err, now, fx)
	case ackTicket:
		s.acked(rules, t, results, err, now, fx)
	}
}

// acked ends an acknowledgement: what is durable is over, what failed returns to the window.
func (s *session) acked(rules *Rules, t ticket, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	to := ended
	if err != nil {
		to = unacked
	}
	for i := range s.entriesOf(t.ids) {
		e := &s.window.entries[i]
		e.calls = max(0, e.calls-1)
		if err != nil {
			e.acked, e.read = false, e.read && !t.read
		}
		if e.state == settling || e.state == lapsed && err == nil {
			s.window.move(e, to)
		}
	}
	if err == nil {
		for i := range results {
			if results[i].Applied && (len(fx.ended) == 0 || fx.ended[len(fx.ended)-1] != results[i].Message) {
				fx.ended = append(fx.ended, results[i].Message)
			}
		}
	}
	if durable := s.joined(&t); err == nil && !durable {
		err = ErrBusy
	}
	fx.complete(t.call, err)
	s.restartTimers(rules, now)
	s.opened(rules, fx)
}

// joined completes what a call has joined, and reports whether all of it became durable. Settlements come back in the order in
// which they were asked for, and an entry is not forgotten before its calls are completed, so the entries show how it went.
func (s *session) joined(t *ticket) bool {
	durable := true
	for i := range s.entriesOf(t.join) {
		e := &s.window.entries[i]
		e.calls = max(0, e.calls-1)
		if e.state != ended || t.read && !e.read {
			durable = false
		}
	}
	return durable
}

// entriesOf walks the places of messages in the window; one that was replayed has several.
func (s *session) entriesOf(ids []esh3ar.MessageID) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; s.window != nil && i < len(s.window.entries); i++ {
			if slices.Contains(ids, s.window.entries[i].id) && !yield(i) {
				return
			}
		}
	}
}

// lapsedElsewhere says that messages ended a life without a receipt: canceled, expired or failed. The word may come late,
// when the phone has the next life already, and that goes on.
func (s *session) lapsedElsewhere(rules *Rules, ended []lived, now time.Time, fx *effects) {
	for _, one := range ended {
		if e := s.unacked(one); e != nil {
			s.leave(e, lapsed)
		}
	}
	s.restartTimers(rules, now)
	s.opened(rules, fx)
}

// endedElsewhere says that messages were acknowledged on another connection, or, where lapsed, that the store has them as
// ended without a receipt. They free the window, and nothing repeats them.
func (s *session) endedElsewhere(rules *Rules, ids []esh3ar.MessageID, to entryState, now time.Time, fx *effects) {
	if s.window == nil {
		return
	}
	for _, id := range ids {
		if e := s.window.find(id); e != nil && e.state == unacked {
			s.leave(e, to)
		}
	}
	s.restartTimers(rules, now)
	s.opened(rules, fx)
}

// endOf is what a message that the store calls ended is to the window.
func endOf(status esh3ar.Status) entryState {
	if status.Rank() < esh3ar.Delivered.Rank() {
		return lapsed
	}
	return ended
}

// opened uses the room that an acknowledgement made.
func (s *session) opened(rules *Rules, fx *effects) {
	s.tidy()
	s.pump(rules, fx)
	s.conclude(fx)
}
