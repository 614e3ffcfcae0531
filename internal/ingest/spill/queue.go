package spill

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// entry is a call that was read from the queue.
type entry struct {
	position position
	call     *esh3ar.Call // nil if the row is damaged
	size     int          // size of row and key in bytes
	err      error        // why the row cannot be read, or why the store refused the call; nil if neither
}

// Bounds of a batch of the drain, whichever is reached first. A larger call is sent alone.
const (
	drainMessages = 500
	drainBytes    = 1 << 20
)

// read returns the entries from a position on that form one batch, and the position at which the next batch begins. A batch holds a key
// only once: a second call with the key may be a new one, and a store need not keep the order of two calls with one key.
func (s *Spill) read(from position) (entries []entry, next position, err error) {
	if err := s.enter(); err != nil {
		return nil, from, err
	}
	defer s.gate.Leave()
	from, limit := s.index.durableRange(from)
	next = from
	keys := map[keyHash]bool{}
	messages, size := 0, 0
	err = s.walk(callKey, from, func(p position, row []byte) bool {
		if p >= limit { // not durable yet
			return false
		}
		e := entry{position: p, size: positionKeyLen + len(row)}
		e.call, e.err = decodeCall(row)
		if e.call != nil {
			messages += len(e.call.Messages)
			if len(entries) > 0 && (messages > drainMessages || size+e.size > drainBytes) {
				return false
			}
			if e.call.Key != nil {
				hash := keyHashOf(e.call)
				if keys[hash] {
					return false
				}
				keys[hash] = true
			}
		}
		size += e.size
		entries = append(entries, e)
		next = p + 1
		return true
	})
	if err != nil {
		return nil, from, readError(err)
	}
	return entries, next, nil
}

// remove deletes entries that are in the store. It does not sync: entries that come back after a crash are sent again, and the store
// knows them.
func (s *Spill) remove(entries []entry) error {
	if err := s.lockWriter(context.Background()); err != nil {
		return err
	}
	defer s.unlockWriter()
	batch := s.db.NewBatch()
	defer s.closeBatch(batch)
	for i := range entries {
		if err := s.deleteEntry(batch, &entries[i]); err != nil {
			return readError(err)
		}
	}
	if err := s.commit(batch, pebble.NoSync); err != nil {
		return err
	}
	s.index.remove(entries)
	return nil
}

// deleteEntry adds the deletion of an entry to the batch, and of its key row unless a later call has the key now. The caller has locked
// the writer.
func (s *Spill) deleteEntry(batch *pebble.Batch, e *entry) error {
	at := appendPosition(nil, callKey, e.position)
	if err := batch.Delete(at, nil); err != nil || e.call == nil || e.call.Key == nil {
		return err
	}
	key := keyHashOf(e.call).append(nil)
	pointer, err := s.get(key)
	if err != nil || !bytes.Equal(pointer, at) {
		return err
	}
	return batch.Delete(key, nil)
}
