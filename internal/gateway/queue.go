package gateway

import (
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// waiter is a call in the queue.
type waiter struct {
	kind  balance.Kind
	who   owner
	tried []*balance.Node
	seat  chan slot // receives the slot; capacity 1, so that the sender does not block

	next, before *waiter // neighbours in the owner's list
	queued       bool
}

// waiterList is the list of one owner's calls in the queue, oldest first.
type waiterList struct{ first, last *waiter }

// waitQueue holds the calls that wait for a slot. It serves owners round-robin, and alternates between proven owners and
// others, so that a caller without accepted credential delays each proven owner by at most one call, whatever number of calls
// or addresses it has. It is guarded by dispatch.mu.
type waitQueue struct {
	shares *shares
	rings  [2]ownerRing // owners with queued calls: not proven, proven
	proven bool         // the proven owners are next
	length int
}

// ownerRing is the round-robin list of owners; the first is next.
type ownerRing struct {
	first, last *usage
	length      int
}

func (t *ownerRing) push(u *usage) {
	u.turnBefore = t.last
	if t.last == nil {
		t.first = u
	} else {
		t.last.turnNext = u
	}
	t.last = u
	t.length++
}

func (t *ownerRing) drop(u *usage) {
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

// maxOwnersChecked bounds how many owners are checked for one free slot. Owners at their share are skipped.
const maxOwnersChecked = 16

func (l *waitQueue) turnsOf(proven bool) *ownerRing {
	if proven {
		return &l.rings[1]
	}
	return &l.rings[0]
}

// add appends a call to its owner's list.
func (l *waitQueue) add(w *waiter) {
	l.shares.take(w.who, queuePlaces)
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

// remove removes a call from the queue.
func (l *waitQueue) remove(w *waiter) {
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
	w.next = nil
	w.before = nil
	w.queued = false
	l.length--
	if u.waits.first == nil {
		l.turnsOf(w.who.proven).drop(u)
	}
	l.shares.release(w.who, queuePlaces)
}

// serve calls give for the next waiters until give returns false: no slot is free. may reports whether the owner of a call may
// have another slot.
func (l *waitQueue) serve(may, give func(*waiter) bool) {
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

// next returns the oldest call of the next owner that may have another slot, or nil if none of the checked owners may.
func (l *waitQueue) next(t *ownerRing, may func(*waiter) bool) *waiter {
	for range min(t.length, maxOwnersChecked) {
		u := t.first
		t.drop(u)
		t.push(u)
		if may(u.waits.first) {
			return u.waits.first
		}
	}
	return nil
}
