package gateway

import (
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// waiter is a call in line.
type waiter struct {
	kind  balance.Kind
	who   owner
	tried []*balance.Node
	seat  chan seat // capacity 1: whoever frees a slot does not wait

	next, before *waiter // of the same owner; nil: none
	queued       bool
}

// waiters are the calls of one owner in line, oldest first.
type waiters struct{ first, last *waiter }

// line is the calls that wait for a slot. Owners take turns, and proven ones take turns with all others: a stranger with many calls
// or many addresses delays none of them by more than one call each. It is guarded by dispatch.mu.
type line struct {
	shares *shares
	turns  [2]turns // owners with calls in line: strangers, proven
	proven bool     // whose turn it is
	length int
}

// turns is a list of owners; the first one is next.
type turns struct {
	first, last *usage
	length      int
}

func (t *turns) push(u *usage) {
	u.turnBefore = t.last
	if t.last == nil {
		t.first = u
	} else {
		t.last.turnNext = u
	}
	t.last = u
	t.length++
}

func (t *turns) drop(u *usage) {
	if u.turnBefore == nil {
		t.first = u.turnNext
	} else {
		u.turnBefore.turnNext = u.turnNext
	}
	if u.turnNext == nil {
		t.last = u.turnBefore
	} else {
		u.turnNext.turnBefore = u.turnBefore
	}
	u.turnNext, u.turnBefore = nil, nil
	t.length--
}

// looks bounds how many owners are looked at for one free slot. Those who have their share already are passed over.
const looks = 16

func (l *line) turnsOf(proven bool) *turns {
	if proven {
		return &l.turns[1]
	}
	return &l.turns[0]
}

// add puts a call at the end of its owner's part.
func (l *line) add(w *waiter) {
	l.shares.take(w.who, places)
	u := l.shares.usage(w.who)
	w.before = u.waits.last
	if w.before == nil {
		u.waits.first = w
		l.turnsOf(w.who.proven).push(u)
	} else {
		w.before.next = w
	}
	u.waits.last = w
	w.queued = true
	l.length++
}

// remove takes a call out.
func (l *line) remove(w *waiter) {
	u := l.shares.usage(w.who)
	if w.before == nil {
		u.waits.first = w.next
	} else {
		w.before.next = w.next
	}
	if w.next == nil {
		u.waits.last = w.before
	} else {
		w.next.before = w.before
	}
	w.next, w.before, w.queued = nil, nil, false
	l.length--
	if u.waits.first == nil {
		l.turnsOf(w.who.proven).drop(u)
	}
	l.shares.release(w.who, places)
}

// serve offers free slots to those in line until give reports that there are none. may reports whether a call's owner may have one
// more.
func (l *line) serve(may, give func(*waiter) bool) {
	for l.length > 0 {
		w := l.next(l.turnsOf(l.proven), may)
		if w == nil {
			w = l.next(l.turnsOf(!l.proven), may)
		}
		if w == nil || !give(w) {
			return
		}
		l.proven = !w.who.proven
		l.remove(w)
	}
}

// next returns the oldest call of the next owner that may have one more; nil: none of those looked at may.
func (l *line) next(t *turns, may func(*waiter) bool) *waiter {
	for range min(t.length, looks) {
		u := t.first
		t.drop(u)
		t.push(u)
		if may(u.waits.first) {
			return u.waits.first
		}
	}
	return nil
}
