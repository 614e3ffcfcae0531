package checker

import (
	"cmp"
	"slices"

	"github.com/esh3artech/esh3ar"
)

// While the store is unavailable, a node keeps calls in its spill. Its answer is a promise as well: the message reaches
// the store under its id, no phone receives it earlier, and it comes after the messages that the node accepted for the
// recipient before it. There is one exception. Two nodes that cannot reach the store can accept the same key. Then the
// first commit owns the key, and the other call ends as a duplicate: canceled, without a seq, and never delivered.
//
// So a message whose call was retried at another node can have two answered ids. The history of its key is linearizable
// without the answers that a spill gave for the call that lost.

// duplicate reports whether the node canceled the message because another call owned its key.
func (s *messageTrace) duplicate() bool {
	return s.final != nil && s.final.Status == "canceled" && s.final.Reason == esh3ar.ReasonDuplicate
}

// duplicated checks the promises about a duplicate.
func (b *Book) duplicated(s *messageTrace) {
	b.verdict.Duplicates++
	switch {
	case s.key == "":
		b.reportBreach(s, "canceled as a duplicate, but its call had no key")
	case b.owners[s.key] == nil:
		b.reportBreach(s, "canceled as a duplicate, but no call owns its key")
	case s.stored:
		b.reportBreach(s, "accepted as stored, but later canceled as a duplicate")
	case s.received > 0 || len(s.places) > 0:
		b.reportBreach(s, "canceled as a duplicate, but it was in the inbox")
	case s.told == 0:
		b.reportBreach(s, "the node returns the message without a history")
	default:
		b.grows(s)
		b.buried(s)
		b.sighted(s)
	}
}

// times returns the number of stored ids of the message, duplicates excluded.
func (s *messageTrace) times() (n int) {
	for _, one := range append([]*messageTrace{s}, s.copies...) {
		if (one.final != nil || one.received > 0) && !one.duplicate() {
			n++
		}
	}
	return n
}

// wasAnswered reports whether any id of the message was answered.
func (s *messageTrace) wasAnswered() bool {
	return s.answered != 0 || slices.ContainsFunc(s.copies, func(c *messageTrace) bool { return c.answered != 0 })
}

// owned determines the call that owns each key, and the keys for which another call lost.
func (b *Book) owned(list []*messageTrace) {
	b.owners, b.contested = map[string]*messageTrace{}, map[string]bool{}
	for _, s := range list {
		switch {
		case s.key == "" || s.final == nil:
		case s.duplicate():
			b.contested[s.key] = true
		case b.owners[s.key] != nil && b.owners[s.key].call != s.call:
			b.reportBreach(s, "key %s is owned by two calls; the other is the call of message %d", s.key, b.owners[s.key].number)
		default:
			b.owners[s.key] = s
		}
	}
}

// uncontested is the history of a key without what spills answered on behalf of calls that lost it: their ids, and that the
// key is another call's.
func (b *Book) uncontested(key string) []keyCall {
	if !b.contested[key] {
		return b.calls[key]
	}
	return slices.DeleteFunc(slices.Clone(b.calls[key]), func(c keyCall) bool {
		s := b.byID[c.id]
		return c.kind == Mismatched || s != nil && s.duplicate()
	})
}

// overtaken checks that messages which a node accepts for a recipient get higher seqs than earlier messages in its
// spill.
func (b *Book) overtaken(list []*messageTrace) {
	type shelf struct {
		to   uint64
		node int
	}
	spilled, called := map[shelf][]*messageTrace{}, map[shelf][]*messageTrace{}
	for _, s := range list {
		at := shelf{s.to, s.first().node}
		if at.node <= 0 || s.sendAt != 0 || s.answered == 0 || s.ofLife(1) == nil {
			continue
		}
		called[at] = append(called[at], s)
		if s.spilled {
			spilled[at] = append(spilled[at], s)
		}
	}
	for at, before := range spilled {
		b.behind(before, called[at])
	}
}

// behind checks that a call of the second list, made after a call of the first was answered, has a higher seq.
func (b *Book) behind(before, after []*messageTrace) {
	slices.SortFunc(before, func(a, b *messageTrace) int { return cmp.Compare(a.answered, b.answered) })
	slices.SortFunc(after, func(a, b *messageTrace) int { return cmp.Compare(a.began, b.began) })
	var last *messageTrace
	for _, s := range after {
		for ; len(before) > 0 && before[0].answered < s.began; before = before[1:] {
			if last == nil || before[0].ofLife(1).seq > last.ofLife(1).seq {
				last = before[0]
			}
		}
		if last != nil && s.ofLife(1).seq < last.ofLife(1).seq {
			b.reportBreach(s, "overtook message %d, seq %d, in the spill of node %d", last.number, last.ofLife(1).seq, s.first().node)
		}
	}
}
