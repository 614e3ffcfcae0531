package checker

import (
	"cmp"
	"slices"

	"github.com/esh3artech/esh3ar"
)

// While the store is away a node keeps calls on its own disk. What it answers then is a promise like any other: the message
// comes to the store under its id, and to nobody's phone before, and behind what the node accepted for the recipient
// before it. One thing is different: two nodes that cannot ask the store can take the same key. Then the first commit owns
// the key, and the other call ends as a duplicate: canceled, without a seq, and nobody received it.
//
// So a message whose call was repeated elsewhere can have two ids that were both answered, and the history of its key is
// linearizable without the answers that a spill gave on behalf of the loser.

// duplicate tells whether the node says that another call had its key.
func (s *story) duplicate() bool {
	return s.final != nil && s.final.Status == "canceled" && s.final.Reason == esh3ar.ReasonDuplicate
}

// duplicated holds a duplicate against what is promised of it.
func (b *Book) duplicated(s *story) {
	b.verdict.Duplicates++
	switch {
	case s.key == "":
		b.breaks(s, "without a key, and yet a duplicate")
	case b.owners[s.key] == nil:
		b.breaks(s, "a duplicate of nothing: no call has its key")
	case s.stored:
		b.breaks(s, "accepted as stored, and later a duplicate")
	case s.received > 0 || len(s.places) > 0:
		b.breaks(s, "a duplicate was in the inbox")
	case s.told == 0:
		b.breaks(s, "the node knows the message and tells no history of it")
	default:
		b.grows(s)
		b.buried(s)
		b.sighted(s)
	}
}

// times is how often a message is there under different ids, duplicates left out.
func (s *story) times() (n int) {
	for _, one := range append([]*story{s}, s.copies...) {
		if (one.final != nil || one.received > 0) && !one.duplicate() {
			n++
		}
	}
	return n
}

// wasAnswered tells whether any of its ids was.
func (s *story) wasAnswered() bool {
	return s.answered != 0 || slices.ContainsFunc(s.copies, func(c *story) bool { return c.answered != 0 })
}

// owned finds out which call each key belongs to, and which keys had losers.
func (b *Book) owned(list []*story) {
	b.owners, b.contested = map[string]*story{}, map[string]bool{}
	for _, s := range list {
		switch {
		case s.key == "" || s.final == nil:
		case s.duplicate():
			b.contested[s.key] = true
		case b.owners[s.key] != nil && b.owners[s.key].call != s.call:
			b.breaks(s, "key %s belongs to two calls, the other is that of message %d", s.key, b.owners[s.key].number)
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

// overtaken: what a node accepts for a recipient comes behind what it has in its spill for them.
func (b *Book) overtaken(list []*story) {
	type shelf struct {
		to   uint64
		node int
	}
	spilled, called := map[shelf][]*story{}, map[shelf][]*story{}
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

// behind: of the second list, what was called after a message of the first was answered has a higher seq.
func (b *Book) behind(before, after []*story) {
	slices.SortFunc(before, func(a, b *story) int { return cmp.Compare(a.answered, b.answered) })
	slices.SortFunc(after, func(a, b *story) int { return cmp.Compare(a.began, b.began) })
	var last *story
	for _, s := range after {
		for ; len(before) > 0 && before[0].answered < s.began; before = before[1:] {
			if last == nil || before[0].ofLife(1).seq > last.ofLife(1).seq {
				last = before[0]
			}
		}
		if last != nil && s.ofLife(1).seq < last.ofLife(1).seq {
			b.breaks(s, "overtook message %d, seq %d, that node %d had in its spill", last.number, last.ofLife(1).seq, s.first().node)
		}
	}
}
