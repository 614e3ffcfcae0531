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

// The inbox of a recipient, as a log: to append a message gives it the next seq, the messages that one batch has for the
// recipient take theirs in one step, and Sync(after, limit) gives exactly what the log then holds behind after, in order.
// It is checked from the state in which the round before left it.
//
// What was appended where is known from answers, from phones and from what the node says at rest. So a call without an
// answer is no guess: either nobody ever heard of its message, and it is not part of the history, or it is an append with
// a known seq that may have happened at any time since. That leaves the model with a state of one number, how long the
// log is, and one append that fits each state: a history of thousands of operations is decided in a moment, although many
// of them are pending to the end of time.
//
// A message that may leave the inbox without a phone (by a time to live, a cancel, or into the dead letters) may be in the
// answer of a Sync or not, for the answer does not say which status it saw. So may a seq of which nobody knows the
// message. Of a very long history the first maxAppends seqs are checked, with the Syncs that nothing behind them can have
// reached; the rest is counted as left out.

// maxAppends bounds the history of one recipient.
const maxAppends = 5_000

// look is an answered Sync.
type look struct {
	after uint64
	limit int
	found []Slot
	began int64
	at    int64
}

// enter is an append of one or several seqs in a row.
type enter struct {
	from, to uint64
	began    int64 // not before
	at       int64 // not after
}

// synced takes the answer of a Sync.
func (b *Book) synced(e *Entry) {
	b.verdict.Syncs++
	b.looks[e.To] = append(b.looks[e.To], look{e.After, e.Limit, e.Found, e.Began, e.At})
	for _, slot := range e.Found {
		if slot.Seq <= b.start.Counters[e.To] {
			continue // of an earlier round
		}
		s := b.find(&Entry{Kind: Synced, Number: slot.Number, ID: slot.ID, To: e.To})
		if s == nil {
			continue
		}
		if s.to != e.To {
			b.breaks(s, "+%d found it by a Sync", e.To)
			continue
		}
		if p := s.at(slot.Seq); p.seen == 0 {
			p.seen = e.At
		}
	}
}

// checkInboxes checks the log of each recipient.
func (b *Book) checkInboxes(list []*story, counters map[uint64]uint64, deadline time.Time) {
	byRecipient := map[uint64][]*story{}
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
			b.breaks(nil, "the inbox of +%d is not linearizable: no order of its %d appends and %d syncs explains %s",
				to, len(enters), len(looks), l.culprit(enters, looks, deadline))
		}
	}
}

// log is what is known of the log of one recipient behind base.
type log struct {
	base  uint64
	slots []logSlot
}

type logSlot struct {
	number   int // zero: unknown
	optional bool
}

func newLog(base, top uint64, list []*story) *log {
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

// enters are the appends of the log, by seq. A seq that was taken and that nobody saw may have been taken at any time.
func (l *log) enters(b *Book, list []*story) (enters []enter) {
	calls := map[int][]enter{} // of one batch
	for _, s := range list {
		for i := range s.places {
			p := &s.places[i]
			if !l.holds(p.seq) {
				continue // a breach that the sequences tell of
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
			b.breaks(b.stories[call], "a batch was stored in parts: of its messages to one recipient, %d have the seqs%s", len(parts), seqsOf(parts))
		}
		enters = append(enters, join(parts)...)
	}
	for i, slot := range l.slots {
		if seq := l.base + 1 + uint64(i); slot.number == 0 {
			enters = append(enters, enter{from: seq, to: seq, at: never})
		}
	}
	slices.SortFunc(enters, func(a, b enter) int { return cmp.Compare(a.from, b.from) })
	return enters
}

// enter is the append of a message.
func (p *place) enter(s *story) enter {
	e := enter{from: p.seq, to: p.seq, began: p.began, at: never}
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

// torn tells whether a message of another call came between those of one batch, or they came in another order. A seq
// between them that nobody saw may be the batch's own.
func (l *log) torn(b *Book, call int, parts []enter) bool {
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

// join makes one append of those of one batch, if they follow each other.
func join(parts []enter) []enter {
	whole := parts[0]
	for _, p := range parts[1:] {
		if p.from != whole.to+1 {
			return parts
		}
		whole.to, whole.at = p.to, min(whole.at, p.at)
	}
	return []enter{whole}
}

func seqsOf(parts []enter) (text string) {
	for _, p := range parts {
		text += fmt.Sprintf(" %d", p.from)
	}
	return text
}

// bounded cuts a history behind maxAppends appends. The looks that stay were answered before any of the appends that go
// was called, so they have nothing to tell of those.
func bounded(enters []enter, looks []look) ([]enter, []look) {
	if len(enters) <= maxAppends {
		return enters, looks
	}
	first := never
	for _, e := range enters[maxAppends:] {
		if e.began != 0 {
			first = min(first, e.began)
		}
	}
	kept := make([]look, 0, len(looks))
	for _, k := range looks {
		if k.at < first {
			kept = append(kept, k)
		}
	}
	return enters[:maxAppends], kept
}

func logHistory(enters []enter, looks []look) []porcupine.Operation {
	history := make([]porcupine.Operation, 0, len(enters)+len(looks))
	for _, e := range enters {
		history = append(history, porcupine.Operation{Input: e, Call: e.began, Return: e.at})
	}
	for _, k := range looks {
		history = append(history, porcupine.Operation{Input: k, Call: k.began, Return: k.at})
	}
	return history
}

// model checks appends and syncs against the log; its state is the highest seq so far.
func (l *log) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return l.base },
		Step: func(state, input, _ any) (bool, any) {
			top := state.(uint64) //nolint:forcetypeassert // the history holds nothing else
			if e, ok := input.(enter); ok {
				return e.from == top+1, e.to
			}
			return l.explains(top, input.(look)), top //nolint:forcetypeassert // likewise
		},
		Hash: func(state any) uint64 { return state.(uint64) }, //nolint:forcetypeassert // likewise
	}
}

// explains tells whether a Sync of the log up to top gives that answer.
func (l *log) explains(top uint64, k look) bool {
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

// culprit names what broke a history: an append whose seq disagrees with real time, or else the first Sync, by its answer,
// that cannot be explained. Appends without Syncs, and any beginning of the appends, would fit if the whole did.
func (l *log) culprit(enters []enter, looks []look, deadline time.Time) string {
	broken := func(n, m int) bool {
		return linearizable(l.model(), logHistory(enters[:n], looks[:m]), deadline) == porcupine.Illegal
	}
	if n := sort.Search(len(enters), func(n int) bool { return broken(n+1, 0) }); n < len(enters) {
		e := enters[n]
		return fmt.Sprintf("that seq %d to %d was taken between %s and %s", e.from, e.to, clock(e.began), clock(e.at))
	}
	slices.SortFunc(looks, func(a, b look) int { return cmp.Compare(a.at, b.at) })
	m := sort.Search(len(looks), func(m int) bool { return broken(len(enters), m+1) })
	if m == len(looks) {
		return "them all (no part of it could be decided)"
	}
	k := looks[m]
	return fmt.Sprintf("that Sync(%d, %d) found %v between %s and %s", k.after, k.limit, k.found, clock(k.began), clock(k.at))
}
