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

// acknowledge settles messages of the session's recipient, whether they were pushed here or not. read means that the user saw them, which
// implies the acknowledgement. call is completed when the change is durable.
func (s *session) acknowledge(rules *Rules, ids []esh3ar.MessageID, read bool, call func(error), now time.Time, fx *effects) {
	t := ticket{kind: ackTicket, read: read, call: call}
	unknown := s.classifyIDs(rules, ids, &t, now, fx)
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
			rest.call = joinParts(t.call)
			t.call = rest.call
		}
		fx.settles = append(fx.settles, settlement{s.receipts(unknown, read, now), rest, len(unknown)})
	}
	if len(t.ids)+len(t.join) > 0 {
		fx.settles = append(fx.settles, settlement{changes: s.receipts(t.ids, read, now), ticket: t})
	}
	s.restartTimers(rules, now)
	s.useFreedWindow(rules, fx)
}

// classifyIDs sorts the ids of a call. An entry of the window is acknowledged once and marked as read once; a repetition joins the running
// call and does not go to the store. It returns the ids without an entry, each once: they were pushed on another connection, or long ago,
// or do not exist.
func (s *session) classifyIDs(rules *Rules, ids []esh3ar.MessageID, t *ticket, now time.Time, fx *effects) (unknown []esh3ar.MessageID) {
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
				s.removeFromWindow(e, settling)
			}
		case e.state != ended || e.calls > 0:
			e.calls++
			t.join = append(t.join, id)
		}
	}
	slices.SortFunc(unknown, func(a, b esh3ar.MessageID) int { return bytes.Compare(a.UUID[:], b.UUID[:]) })
	return slices.Compact(unknown)
}

// joinParts returns the completion of a call that is settled in two parts: the second part completes the call, with an error if either
// failed. The parts may end in different goroutines.
func joinParts(call func(error)) func(error) {
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

// settled handles the result of a settlement. If err is not nil, none of its changes is durable.
func (s *session) settled(rules *Rules, t ticket, results []esh3ar.Settled, err error, now time.Time, fx *effects) {
	switch t.kind {
	case sentTicket: // a lost Sent has no further effect: the acknowledgement implies it
	case attemptTicket:
		s.attemptRecorded(rules, t.one, results, err, now, fx)
	case failTicket:
		s.failed(rules, t.one, results, err, now, fx)
	case ackTicket:
		s.acked(rules, t, results, err, now, fx)
	}
}

// acked handles the result of an acknowledgement: durable entries end, failed ones return to the window.
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
		if e.state == settling || e.state == endedUnacked && err == nil {
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
	s.useFreedWindow(rules, fx)
}

// joined ends the entries' calls that a call has joined, and reports whether all of them became durable. Results arrive in the order of the
// settlements, and an entry is kept until its calls are completed, so the entries have the result.
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

// entriesOf returns the indexes of the messages' entries in the window. A replayed message has several.
func (s *session) entriesOf(ids []esh3ar.MessageID) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; s.window != nil && i < len(s.window.entries); i++ {
			if slices.Contains(ids, s.window.entries[i].id) && !yield(i) {
				return
			}
		}
	}
}

// lapsedElsewhere handles messages that ended a life without an acknowledgement: canceled, expired or failed. The event may arrive
// late, when the phone has the next life already; that entry is not affected.
func (s *session) lapsedElsewhere(rules *Rules, ended []messageLife, now time.Time, fx *effects) {
	for _, one := range ended {
		if e := s.unacked(one); e != nil {
			s.removeFromWindow(e, endedUnacked)
		}
	}
	s.restartTimers(rules, now)
	s.useFreedWindow(rules, fx)
}

// endedElsewhere handles messages that another connection acknowledged (to is ended), or that ended in the store without a
// receipt (to is endedUnacked). They leave the window and are not redelivered.
func (s *session) endedElsewhere(rules *Rules, ids []esh3ar.MessageID, to entryState, now time.Time, fx *effects) {
	if s.window == nil {
		return
	}
	for _, id := range ids {
		if e := s.window.find(id); e != nil && e.state == unacked {
			s.removeFromWindow(e, to)
		}
	}
	s.restartTimers(rules, now)
	s.useFreedWindow(rules, fx)
}

// endOf returns the state of an entry whose message has the given final status in the store.
func endOf(status esh3ar.Status) entryState {
	if status.Rank() < esh3ar.Delivered.Rank() {
		return endedUnacked
	}
	return ended
}

// useFreedWindow continues after an acknowledgement has made room in the window.
func (s *session) useFreedWindow(rules *Rules, fx *effects) {
	s.releaseIdle()
	s.pump(rules, fx)
	s.conclude(fx)
}
