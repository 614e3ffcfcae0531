package spill

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// index holds what must be known about the entries without reading them: counts, and a map entry of about 50 bytes for each recipient
// that has calls in the queue.
type index struct {
	rows atomic.Int64 // entries in the queue and in quarantine; while it is zero no lookup is needed
	mu   struct {
		sync.Mutex
		recipients   map[esh3ar.Recipient]int // messages in the queue of each recipient that has any
		calls        int                      // calls in the queue
		messages     int                      // messages in the queue
		bytes        int64                    // size of all rows, with those in quarantine
		inQuarantine int                      // calls in quarantine
		head         position                 // no entry of the queue is below it
		next         position                 // position of the next call; all entries below it are durable
	}
}

// add counts a call that joins the queue.
func (x *index) add(c *esh3ar.Call, size int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows.Add(1)
	x.mu.calls++
	x.mu.messages += len(c.Messages)
	x.mu.bytes += int64(size)
	for _, m := range c.Messages {
		x.mu.recipients[m.Recipient]++
	}
}

// remove takes deleted entries of the queue out of the counts.
func (x *index) remove(entries []entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows.Add(-int64(len(entries)))
	for i := range entries {
		x.mu.bytes -= int64(entries[i].size)
		x.removeFromQueueLocked(entries[i].call)
	}
}

func (x *index) removeFromQueueLocked(c *esh3ar.Call) {
	x.mu.calls--
	if c == nil {
		return // damaged: it was counted without messages
	}
	x.mu.messages -= len(c.Messages)
	for _, m := range c.Messages {
		x.mu.recipients[m.Recipient]--
		if x.mu.recipients[m.Recipient] <= 0 {
			delete(x.mu.recipients, m.Recipient)
		}
	}
}

// quarantine counts an entry that moved from the queue to the quarantine; its row is larger there by growth bytes.
func (x *index) quarantine(e *entry, growth int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.inQuarantine++
	x.mu.bytes += int64(growth)
	x.removeFromQueueLocked(e.call)
}

// removeQuarantined takes an entry of size bytes that left the quarantine out of the counts.
func (x *index) removeQuarantined(size int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows.Add(-1)
	x.mu.inQuarantine--
	x.mu.bytes -= int64(size)
}

// fits reports whether size more bytes keep all rows within maxBytes.
func (x *index) fits(size int, maxBytes int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.bytes+int64(size) <= maxBytes
}

// advance makes the entries below next, which are durable now, visible to the drain.
func (x *index) advance(next position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.next = next
}

// durableRange returns the bounds of the durable entries from a position on: first is included, limit is not.
func (x *index) durableRange(from position) (first, limit position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return max(from, x.mu.head), x.mu.next
}

// advanceHead records that the queue has no entry below p, so that the tombstones there are not walked over again.
func (x *index) advanceHead(p position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.head = max(x.mu.head, p)
}

// Backlog returns zero if no recipient of the call has messages in the queue, else the number of all calls in the queue.
func (s *Spill) Backlog(c *esh3ar.Call) int {
	if s.index.rows.Load() == 0 {
		return 0
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	for _, m := range c.Messages {
		if s.index.mu.recipients[m.Recipient] > 0 {
			return s.index.mu.calls
		}
	}
	return 0
}

// Calls returns the number of calls in the queue.
func (s *Spill) Calls() int {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	return s.index.mu.calls
}

// Messages returns the number of messages in the queue.
func (s *Spill) Messages() int {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	return s.index.mu.messages
}

// loadIndex fills the index from all rows while the spill is opened. Damaged entries of the queue move to the quarantine.
func (s *Spill) loadIndex() error {
	damaged, err := s.loadQueue()
	if err == nil {
		err = s.loadQuarantine()
	}
	s.index.mu.next++ // it was the highest position in use
	for i := range damaged {
		if err == nil {
			err = s.moveToQuarantine(&damaged[i])
		}
	}
	if err != nil {
		return fmt.Errorf("open spill in %s: %w", s.dir, err)
	}
	return nil
}

// loadQueue counts the entries of the queue and returns the damaged ones.
func (s *Spill) loadQueue() (damaged []entry, err error) {
	err = s.walk(callKey, 0, func(p position, row []byte) bool {
		size := positionKeyLen + len(row)
		s.index.mu.next = p
		call, err := decodeCall(row)
		if err != nil {
			damaged = append(damaged, entry{position: p, size: size, err: err})
			call = &esh3ar.Call{}
		}
		s.index.add(call, size)
		return true
	})
	return damaged, err
}

// loadQuarantine counts the entries in quarantine.
func (s *Spill) loadQuarantine() error {
	return s.walk(quarantineKey, 0, func(p position, row []byte) bool {
		s.index.rows.Add(1)
		s.index.mu.inQuarantine++
		s.index.mu.bytes += int64(positionKeyLen + len(row))
		s.index.mu.next = max(s.index.mu.next, p)
		return true
	})
}
