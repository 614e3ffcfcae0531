package presence

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// Shards is how many parts a Table has; a power of two. Each has its own lock, and can be walked alone.
const Shards = 64

// Table maps recipients to their connections on this node. Most have one, which costs no slice.
type Table[C comparable] struct {
	shards [Shards]struct {
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

// shardOf spreads numbers that differ in their last digits only.
func shardOf(r esh3ar.Recipient) uint64 { return uint64(r) * 0x9e3779b97f4a7c15 >> 58 }

// Add notes a connection; it is seen by every Of that starts after Add has returned. It tells whether it is the
// recipient's first.
func (t *Table[C]) Add(r esh3ar.Recipient, c C) (first bool) {
	s := &t.shards[shardOf(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.of[r]
	if !ok {
		s.of[r] = entry[C]{one: c}
		return true
	}
	e.more = append(e.more, c)
	s.of[r] = e
	return false
}

// Remove forgets a connection; one that is not there is no error. It tells whether it was the recipient's last.
func (t *Table[C]) Remove(r esh3ar.Recipient, c C) (last bool) {
	s := &t.shards[shardOf(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.of[r]
	if !ok {
		return false
	}
	if e.one == c {
		if len(e.more) == 0 {
			delete(s.of, r)
			return true
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
	return false
}

// AppendConnections appends the recipient's connections to dst.
func (t *Table[C]) AppendConnections(dst []C, r esh3ar.Recipient) []C {
	s := &t.shards[shardOf(r)]
	s.RLock()
	defer s.RUnlock()
	if e, ok := s.of[r]; ok {
		dst = append(append(dst, e.one), e.more...)
	}
	return dst
}

// Has tells whether the recipient has a connection here.
func (t *Table[C]) Has(r esh3ar.Recipient) bool {
	s := &t.shards[shardOf(r)]
	s.RLock()
	defer s.RUnlock()
	_, ok := s.of[r]
	return ok
}

// Shard gives everybody of one part who is connected; all parts from 0 to Shares-1 are all recipients.
func (t *Table[C]) Shard(part int) []esh3ar.Recipient {
	s := &t.shards[part]
	s.RLock()
	defer s.RUnlock()
	present := make([]esh3ar.Recipient, 0, len(s.of))
	for r := range s.of {
		present = append(present, r)
	}
	return present
}

// Recipients gives everybody who is connected, one share after the other; a recipient that comes or goes meanwhile may
// be missed or be gone already.
func (t *Table[C]) Recipients(yield func(esh3ar.Recipient) bool) {
	for part := range t.shards {
		for _, r := range t.Shard(part) {
			if !yield(r) {
				return
			}
		}
	}
}
