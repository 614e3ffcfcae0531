package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// The inbox of a recipient is modelled as a log. An append gives a message the next seq. The messages of one batch to
// the same recipient are appended in one step. Sync(after, limit) returns the entries behind after, in order. The check
// starts from the state at the end of the previous round.
//
// Appended messages and their seqs are known from answers, phones and the final state. A call without an answer
// therefore needs no guess. Either no observation of its message exists, and it is not part of the history, or its seq
// is known and the append may have happened at any time since the call. So the model's state is one number, the length
// of the log, and one append fits each state. A history of thousands of operations is decided quickly although many of
// them never complete.
//
// A message that may leave the inbox without a phone (by expiry, a cancel, or as a dead letter) may be in the answer of
// a Sync or not, since the answer does not contain the status at that time. The same applies to a seq whose message is
// unknown. Of a very long history, the first maxAppends seqs are checked, with the Syncs that cannot have seen later
// ones. The rest is counted as left out.
const maxAppends = 5_000

// syncAnswer is an answered Sync.
type syncAnswer struct {
	after uint64
	limit int
	found []Slot
	began int64
	at    int64
}

// appendOp is an append of one or several consecutive seqs.
type appendOp struct {
	from, to uint64
	began    int64 // earliest time
	at       int64 // latest time
}

// synced records the answer of a Sync.
func (b *Book) synced(e *Entry) {
	b.verdict.Syncs++
	b.looks[e.To] = append(b.looks[e.To], syncAnswer{e.After, e.Limit, e.Found, e.Began, e.At})
	for _, slot := range e.Found {
		if slot.Seq <= b.start.Counters[e.To] {
			continue // of an earlier round
		}
		s := b.find(&Entry{Kind: Synced, Number: slot.Number, ID: slot.ID, To: e.To})
		if s == nil {
			continue
		}
		if s.to != e.To {
			b.reportBreach(s, "+%d found it by a Sync", e.To)
			continue
		}
		if p := s.at(slot.Seq); p.seen == 0 {
			p.seen = e.At
		}
	}
}

// checkInboxes checks the log of each recipient.
func (b *Book) checkInboxes(list []*messageTrace, counters map[uint64]uint64, deadline time.Time) {
	byRecipient := map[uint64][]*messageTrace{}
	for _, s := range list {
		byRecipient[s.to] = append(byRecipient[s.to], s)
	}
	for _, to := range slices.Sorted(maps.Keys(byRecipient)) {
		l := newLog(b.start.Counters[to], counters[to], byRecipient[to])
		enters, looks := l.enters(b, byRecipient[to]), b.looks[to]
		all := len(enters) + len(looks)
		enters, looks = bounded(enters, looks)
		b.verdict.Inboxes.LeftOut += all - len(enters) - len(looks)
		if b.verdict.Inboxes.check(l.model(), logHistory(enters, looks), deadline) {
			b.reportBreach(nil, "the inbox of +%d is not linearizable: no order of its %d appends and %d syncs explains %s",
				to, len(enters), len(looks), l.culprit(enters, looks, deadline))
		}
	}
}

// log is the known part of one recipient's log, from seq base+1.
type log struct {
	base  uint64
	slots []logSlot
}

type logSlot struct {
	number   int // zero: unknown
	optional bool
}

func newLog(base, top uint64, list []*messageTrace) *log {
	l := &log{base: base, slots: make([]logSlot, max(top, base)-base)}
	for i := range l.slots {
		l.slots[i].optional = true
	}
	for _, s := range list {
		for _, p := range s.places {
			if l.holds(p.seq) {
				l.slots[p.seq-base-1] = logSlot{s.number, s.excused()}
			}
		}
	}
	return l
}

func (l *log) holds(seq uint64) bool { return seq > l.base && seq-l.base <= uint64(len(l.slots)) }

// enters returns the appends of the log by seq. An unobserved seq may have been appended at any time.
func (l *log) enters(b *Book, list []*messageTrace) (enters []appendOp) {
	calls := map[int][]appendOp{} // of one batch
	for _, s := range list {
		for i := range s.places {
			p := &s.places[i]
			if !l.holds(p.seq) {
				continue // reported by sequences
			}
			if p.life == 1 && s.sendAt == 0 {
				calls[s.call] = append(calls[s.call], p.enter(s))
			} else {
				enters = append(enters, p.enter(s))
			}
		}
	}
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		parts := calls[call]
		if l.torn(b, call, parts) {
			b.reportBreach(b.stories[call], "a batch was stored in parts: of its messages to one recipient, %d have the seqs%s", len(parts), seqsOf(parts))
		}
		enters = append(enters, join(parts)...)
	}
	for i, slot := range l.slots {
		if seq := l.base + 1 + uint64(i); slot.number == 0 {
			enters = append(enters, appendOp{from: seq, to: seq, at: never})
		}
	}
	slices.SortFunc(enters, func(a, b appendOp) int { return cmp.Compare(a.from, b.from) })
	return enters
}

// enter returns the append of a message.
func (p *place) enter(s *messageTrace) appendOp {
	e := appendOp{from: p.seq, to: p.seq, began: p.began, at: never}
	if p.life == 1 {
		e.began = max(e.began, s.sendAt-margin)
	}
	if p.answered != 0 {
		e.at = p.answered
	}
	if p.seen != 0 {
		e.at = min(e.at, p.seen)
	}
	return e
}

// torn reports whether a message of another call lies between those of one batch, or whether the batch is out of order.
// An unobserved seq between them may belong to the batch.
func (l *log) torn(b *Book, call int, parts []appendOp) bool {
	for i := 1; i < len(parts); i++ {
		if parts[i].from <= parts[i-1].from {
			return true
		}
		for seq := parts[i-1].from + 1; seq < parts[i].from; seq++ {
			if s := b.stories[l.slots[seq-l.base-1].number]; s != nil && s.call != call {
				return true
			}
		}
	}
	return false
}

// join merges the appends of one batch into one append if their seqs are consecutive.
func join(parts []appendOp) []appendOp {
	whole := parts[0]
	for _, p := range parts[1:] {
		if p.from != whole.to+1 {
			return parts
		}
		whole.to, whole.at = p.to, min(whole.at, p.at)
	}
	return []appendOp{whole}
}

func seqsOf(parts []appendOp) (text string) {
	for _, p := range parts {
		text += fmt.Sprintf(" %d", p.from)
	}
	return text
}

// bounded truncates a history to maxAppends appends. It keeps only Syncs that were answered before the first removed
// append was called: they cannot have seen a removed append.
func bounded(enters []appendOp, looks []syncAnswer) ([]appendOp, []syncAnswer) {
	if len(enters) <= maxAppends {
		return enters, looks
	}
	first := never
	for _, e := range enters[maxAppends:] {
		if e.began != 0 {
			first = min(first, e.began)
		}
	}
	kept := make([]syncAnswer, 0, len(looks))
	for _, k := range looks {
		if k.at < first {
			kept = append(kept, k)
		}
	}
	return enters[:maxAppends], kept
}

func logHistory(enters []appendOp, looks []syncAnswer) []porcupine.Operation {
	history := make([]porcupine.Operation, 0, len(enters)+len(looks))
	for _, e := range enters {
		history = append(history, porcupine.Operation{Input: e, Call: e.began, Return: e.at})
	}
	for _, k := range looks {
		history = append(history, porcupine.Operation{Input: k, Call: k.began, Return: k.at})
	}
	return history
}

// model returns the model of the log; its state is the highest appended seq.
func (l *log) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return l.base },
		Step: func(state, input, _ any) (bool, any) {
			top := state.(uint64) //nolint:forcetypeassert // the history holds nothing else
			if e, ok := input.(appendOp); ok {
				return e.from == top+1, e.to
			}
			return l.explains(top, input.(syncAnswer)), top //nolint:forcetypeassert // likewise
		},
		Hash: func(state any) uint64 { return state.(uint64) }, //nolint:forcetypeassert // likewise
	}
}

// explains reports whether a Sync of the log up to seq top returns that answer.
func (l *log) explains(top uint64, k syncAnswer) bool {
	found := k.found
	for len(found) > 0 && found[0].Seq <= l.base && found[0].Seq > k.after {
		found = found[1:] // of earlier rounds
	}
	for seq := max(k.after, l.base) + 1; seq <= top; seq++ {
		if len(found) == 0 && len(k.found) == k.limit {
			return true
		}
		slot := l.slots[seq-l.base-1]
		switch {
		case len(found) > 0 && found[0].Seq == seq && found[0].Number == slot.number:
			found = found[1:]
		case !slot.optional:
			return false
		}
	}
	return len(found) == 0 && len(k.found) <= k.limit
}

// culprit describes the operation that broke a history: an append whose seq contradicts real time, or otherwise the
// first Sync, by the time of its answer, that no order explains. If the whole history fits, so do its appends alone and
// every prefix of them.
func (l *log) culprit(enters []appendOp, looks []syncAnswer, deadline time.Time) string {
	broken := func(n, m int) bool {
		return linearizable(l.model(), logHistory(enters[:n], looks[:m]), deadline) == porcupine.Illegal
	}
	if n := sort.Search(len(enters), func(n int) bool { return broken(n+1, 0) }); n < len(enters) {
		e := enters[n]
		return fmt.Sprintf("that seq %d to %d was taken between %s and %s", e.from, e.to, clock(e.began), clock(e.at))
	}
	slices.SortFunc(looks, func(a, b syncAnswer) int { return cmp.Compare(a.at, b.at) })
	m := sort.Search(len(looks), func(m int) bool { return broken(len(enters), m+1) })
	if m == len(looks) {
		return "them all (no part of it could be decided)"
	}
	k := looks[m]
	return fmt.Sprintf("that Sync(%d, %d) found %v between %s and %s", k.after, k.limit, k.found, clock(k.began), clock(k.at))
}
