package presence

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// shardBits is the binary logarithm of Shards.
const shardBits = 6

// Shards is the number of parts of a Table. Each shard has its own lock and can be listed alone.
const Shards = 1 << shardBits

// Table maps recipients to their connections on this node. It is sharded to keep lock contention low. A recipient with one
// connection, the common case, needs no slice.
type Table[C comparable] struct {
	shards [Shards]struct {
		sync.RWMutex
		entries map[esh3ar.Recipient]entry[C] // guarded by the lock of the shard
	}
}

// entry holds the connections of one recipient.
type entry[C comparable] struct {
	first C   // the connection that was added first
	more  []C // the other connections; nil for most recipients
}

// NewTable returns an empty table.
func NewTable[C comparable]() *Table[C] {
	t := &Table[C]{}
	for i := range t.shards {
		t.shards[i].entries = map[esh3ar.Recipient]entry[C]{}
	}
	return t
}

// shardOf spreads numbers that differ in their last digits only.
// shardOf returns the shard of a recipient. Phone numbers often differ only in their last digits, so shardOf multiplies by 2^64 divided
// by the golden ratio (Fibonacci hashing) and uses the top bits.
func shardOf(r esh3ar.Recipient) uint64 { return uint64(r) * 0x9e3779b97f4a7c15 >> (64 - shardBits) }

// Add adds a connection and reports whether it is the recipient's first. AppendConnections and Has see it as soon as Add has
// returned.
func (t *Table[C]) Add(r esh3ar.Recipient, c C) (first bool) {
	s := &t.shards[shardOf(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.entries[r]
	if !ok {
		s.entries[r] = entry[C]{first: c}
		return true
	}
	e.more = append(e.more, c)
	s.entries[r] = e
	return false
}

// Remove removes a connection and reports whether it was the recipient's last. It does nothing if the connection is not in the
// table.
func (t *Table[C]) Remove(r esh3ar.Recipient, c C) (last bool) {
	s := &t.shards[shardOf(r)]
	s.Lock()
	defer s.Unlock()
	e, ok := s.entries[r]
	if !ok {
		return false
	}
	if e.first == c {
		if len(e.more) == 0 {
			delete(s.entries, r)
			return true
		}
		e.first = e.more[0]
		e.more = append([]C(nil), e.more[1:]...)
	} else {
		var rest []C
		for _, other := range e.more {
			if other != c {
				rest = append(rest, other)
			}
		}
		e.more = rest
	}
	s.entries[r] = e
	return false
}

// AppendConnections appends the recipient's connections to dst.
func (t *Table[C]) AppendConnections(dst []C, r esh3ar.Recipient) []C {
	s := &t.shards[shardOf(r)]
	s.RLock()
	defer s.RUnlock()
	if e, ok := s.entries[r]; ok {
		dst = append(append(dst, e.first), e.more...)
	}
	return dst
}

// Has reports whether the recipient has a connection on this node.
func (t *Table[C]) Has(r esh3ar.Recipient) bool {
	s := &t.shards[shardOf(r)]
	s.RLock()
	defer s.RUnlock()
	_, ok := s.entries[r]
	return ok
}

// Shard returns the recipients of one shard, 0 to Shards-1.
func (t *Table[C]) Shard(part int) []esh3ar.Recipient {
	s := &t.shards[part]
	s.RLock()
	defer s.RUnlock()
	present := make([]esh3ar.Recipient, 0, len(s.entries))
	for r := range s.entries {
		present = append(present, r)
	}
	return present
}

// Recipients iterates over all recipients, one shard after the other. A recipient that is added or removed during the iteration may
// be missed, or yielded although it is gone.
func (t *Table[C]) Recipients(yield func(esh3ar.Recipient) bool) {
	for part := range t.shards {
		for _, r := range t.Shard(part) {
			if !yield(r) {
				return
			}
		}
	}
}
