// Package route knows who is connected: presence by recipient. On one node that is a table in memory; presence of other
// nodes joins it here later. It decides nothing and keeps no message.
//
// Concurrency: every method may be called from any goroutine.
package route

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// shards spread the lock; a power of two.
const shards = 64

// Table maps recipients to their connections on this node. Most have one, which costs no slice.
type Table[C comparable] struct {
	shards [shards]struct {
		sync.RWMutex
		of map[esh3ar.Recipient]entry[C]
	}
}

type entry[C comparable] struct {
	one  C
	more []C
}

// NewTable makes an empty table.
func NewTable[C comparable]() *Table[C] {
	t := &Table[C]{}
	for i := range t.shards {
		t.shards[i].of = map[esh3ar.Recipient]entry[C]{}
	}
	return t
}

// shard spreads numbers that differ in their last digits only.
func shard(r esh3ar.Recipient) uint64 { return uint64(r) * 0x9e3779b97f4a7c15 >> 58 }

// Add notes a connection; it is seen by every Of that starts after Add has returned.
func (t *Table[C]) Add(r esh3ar.Recipient, c C) {
	s := &t.shards[shard(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.of[r]
	if !ok {
		s.of[r] = entry[C]{one: c}
		return
	}
	e.more = append(e.more, c)
	s.of[r] = e
}

// Remove forgets a connection; one that is not there is no error.
func (t *Table[C]) Remove(r esh3ar.Recipient, c C) {
	s := &t.shards[shard(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.of[r]
	if !ok {
		return
	}
	if e.one == c {
		if len(e.more) == 0 {
			delete(s.of, r)
			return
		}
		e.one, e.more = e.more[0], append([]C(nil), e.more[1:]...)
	} else {
		var rest []C
		for _, other := range e.more {
			if other != c {
				rest = append(rest, other)
			}
		}
		e.more = rest
	}
	s.of[r] = e
}

// Of appends the recipient's connections to dst.
func (t *Table[C]) Of(dst []C, r esh3ar.Recipient) []C {
	s := &t.shards[shard(r)]
	s.RLock()
	defer s.RUnlock()
	if e, ok := s.of[r]; ok {
		dst = append(append(dst, e.one), e.more...)
	}
	return dst
}

// Recipients gives everybody who is connected, one shard after the other; a recipient that comes or goes meanwhile may
// be missed or be gone already.
func (t *Table[C]) Recipients(yield func(esh3ar.Recipient) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.RLock()
		present := make([]esh3ar.Recipient, 0, len(s.of))
		for r := range s.of {
			present = append(present, r)
		}
		s.RUnlock()
		for _, r := range present {
			if !yield(r) {
				return
			}
		}
	}
}
