package spill

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// entry is a call that waits, as it was read.
type entry struct {
	position position
	call     *esh3ar.Call // nil: damaged
	size     int          // of its row and key, in bytes
	damage   error
}

// A batch of the drain ends at so many messages or bytes, whichever comes first; a larger call goes alone.
const (
	drainMessages = 500
	drainBytes    = 1 << 20
)

// read gives the calls from a position on that make one batch, and where the next one begins. A key comes once in a batch:
// the second call with it may be a new one, whose order a store need not keep while it looks at the first.
func (s *Spill) read(from position) (entries []entry, next position, err error) {
	if err := s.enter(); err != nil {
		return nil, from, err
	}
	defer s.inside.Leave()
	from, limit := s.held.span(from)
	next = from
	keys := map[scope]bool{}
	messages, size := 0, 0
	err = s.walk(callKey, from, func(p position, row []byte) bool {
		if p >= limit { // not durable yet
			return false
		}
		e := entry{position: p, size: positionKeyLen + len(row)}
		if e.call, e.damage = decodeCall(row); e.call != nil {
			if messages += len(e.call.Messages); len(entries) > 0 && (messages > drainMessages || size+e.size > drainBytes) {
				return false
			}
			if e.call.Key != nil {
				if at := scopeOf(e.call); keys[at] {
					return false
				} else {
					keys[at] = true
				}
			}
		}
		size += e.size
		entries, next = append(entries, e), p+1
		return true
	})
	if err != nil {
		return nil, from, readError(err)
	}
	return entries, next, nil
}

// span narrows a read to what is durable and not yet gone.
func (h *held) span(from position) (first, limit position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(from, h.mu.head), h.mu.next
}

// headTo notes that nothing waits below p: what was deleted need not be walked over again.
func (h *held) headTo(p position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.head = max(h.mu.head, p)
}

// remove deletes entries that the store has. It does not sync: what a crash brings back is sent again, and known there.
func (s *Spill) remove(entries []entry) error {
	if err := s.begin(context.Background()); err != nil {
		return err
	}
	defer s.end()
	batch := s.db.NewBatch()
	defer s.release(batch)
	for i := range entries {
		if err := s.dropLocked(batch, &entries[i]); err != nil {
			return readError(err)
		}
	}
	if err := s.commit(batch, pebble.NoSync); err != nil {
		return err
	}
	s.held.remove(entries)
	return nil
}

// dropLocked stages the end of an entry and of its key, unless a later call has that by now. The caller has the turn.
func (s *Spill) dropLocked(batch *pebble.Batch, e *entry) error {
	at := appendPosition(nil, callKey, e.position)
	if err := batch.Delete(at, nil); err != nil || e.call == nil || e.call.Key == nil {
		return err
	}
	key := scopeOf(e.call).append(nil)
	pointer, err := s.get(key)
	if err != nil || !bytes.Equal(pointer, at) {
		return err
	}
	return batch.Delete(key, nil)
}
