package spill

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// held knows what waits here without reading it: a map entry for each recipient that has anything, 50 bytes or so.
type held struct {
	rows atomic.Int64 // waiting and in quarantine; while it is zero nothing needs to be looked up
	mu   struct {
		sync.Mutex
		recipients map[esh3ar.Recipient]int // messages that wait, of those who have any
		calls      int
		messages   int
		bytes      int64 // of all rows
		aside      int   // calls in quarantine
		head       position
		next       position // that the next call gets; all below are durable
	}
}

// add counts a call that waits.
func (h *held) add(c *esh3ar.Call, size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows.Add(1)
	h.mu.calls++
	h.mu.messages += len(c.Messages)
	h.mu.bytes += int64(size)
	for _, m := range c.Messages {
		h.mu.recipients[m.Recipient]++
	}
}

// remove takes calls that wait out of the counts.
func (h *held) remove(entries []entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows.Add(-int64(len(entries)))
	for i := range entries {
		h.mu.bytes -= int64(entries[i].size)
		h.leaveLocked(entries[i].call)
	}
}

func (h *held) leaveLocked(c *esh3ar.Call) {
	if h.mu.calls--; c == nil {
		return // damaged: nobody knows whose it was
	}
	h.mu.messages -= len(c.Messages)
	for _, m := range c.Messages {
		if h.mu.recipients[m.Recipient]--; h.mu.recipients[m.Recipient] <= 0 {
			delete(h.mu.recipients, m.Recipient)
		}
	}
}

// setAside counts an entry that moved to the quarantine; its row there is larger by grown.
func (h *held) setAside(e *entry, grown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.aside++
	h.mu.bytes += int64(grown)
	h.leaveLocked(e.call)
}

// fits tells whether so many bytes more may be kept.
func (h *held) fits(size int, most int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.bytes+int64(size) <= most
}

// Backlog tells whether a recipient of the call has something here that is not yet in the store: zero, or how many calls wait
// in all.
func (s *Spill) Backlog(c *esh3ar.Call) int {
	if s.held.rows.Load() == 0 {
		return 0
	}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	for _, m := range c.Messages {
		if s.held.mu.recipients[m.Recipient] > 0 {
			return s.held.mu.calls
		}
	}
	return 0
}

// Calls is how many calls wait for the store.
func (s *Spill) Calls() int {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	return s.held.mu.calls
}

// Messages is how many messages wait for the store.
func (s *Spill) Messages() int {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	return s.held.mu.messages
}

// count walks over all rows of a spill that is being opened. What cannot be read moves to the quarantine.
func (s *Spill) count() error {
	var damaged []entry
	err := s.walk(callKey, 0, func(p position, row []byte) bool {
		call, err := decodeCall(row)
		s.held.mu.next = p
		if err != nil {
			damaged = append(damaged, entry{position: p, size: positionKeyLen + len(row), damage: err})
			s.held.add(&esh3ar.Call{}, positionKeyLen+len(row))
		} else {
			s.held.add(call, positionKeyLen+len(row))
		}
		return true
	})
	if err == nil {
		err = s.walk(asideKey, 0, func(p position, row []byte) bool {
			s.held.rows.Add(1)
			s.held.mu.aside++
			s.held.mu.bytes += int64(positionKeyLen + len(row))
			s.held.mu.next = max(s.held.mu.next, p)
			return true
		})
	}
	s.held.mu.next++
	for i := range damaged {
		if err == nil {
			err = s.setAside(&damaged[i])
		}
	}
	if err != nil {
		return fmt.Errorf("open spill in %s: %w", s.dir, err)
	}
	return nil
}

// walk visits the rows of a kind from a position on, in order, until visit wants no more. What it gets is valid for the
// call only.
func (s *Spill) walk(kind byte, from position, visit func(p position, row []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendPosition(nil, kind, from), UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for valid := it.First(); valid; valid = it.Next() {
		if len(it.Key()) != positionKeyLen {
			return fmt.Errorf("key %x: %w", it.Key(), codec.ErrDamaged)
		}
		if !visit(parsePosition(it.Key()), it.Value()) {
			return nil
		}
	}
	return it.Error()
}

// get reads a row; nil when there is none.
func (s *Spill) get(key []byte) ([]byte, error) {
	row, closer, err := s.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, row...), nil // never nil: an empty row is a row
}
