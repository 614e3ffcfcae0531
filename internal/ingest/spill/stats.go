package spill

import (
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// Stats tells what waits here, and what has happened since the spill was opened.
type Stats struct {
	Calls        int // that wait
	Messages     int // in them
	Recipients   int // of them
	Bytes        int64
	Oldest       esh3ar.Time // when the oldest call that waits was accepted; zero: none waits
	InQuarantine int         // calls in quarantine

	Spilled      uint64 // messages taken
	Drained      uint64 // messages that the store has now
	Duplicates   uint64 // of them: canceled, another call had their key
	Full         uint64 // batches refused for want of room
	Quarantined  uint64 // calls
	FailedPasses uint64 // rounds of the drain that an error ended
}

// counters are the live half of Stats.
type counters struct {
	messages, drained, duplicates, full, quarantined, failed atomic.Uint64
}

// Stats reads one row; the rest is in memory.
func (s *Spill) Stats() Stats {
	c := &s.stats
	all := Stats{
		Spilled: c.messages.Load(), Drained: c.drained.Load(), Duplicates: c.duplicates.Load(), Full: c.full.Load(),
		Quarantined: c.quarantined.Load(), FailedPasses: c.failed.Load(), Oldest: s.oldest(),
	}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	h := &s.held.mu
	all.Calls, all.Messages, all.Recipients, all.Bytes, all.InQuarantine = h.calls, h.messages, len(h.recipients), h.bytes, h.aside
	return all
}

// oldest is when the first call that can be read was made; zero also while it cannot be asked.
func (s *Spill) oldest() (at esh3ar.Time) {
	if s.enter() != nil {
		return 0
	}
	defer s.inside.Leave()
	from, limit := s.held.span(0)
	_ = s.walk(callKey, from, func(p position, row []byte) bool {
		if p >= limit {
			return false
		}
		c, err := decodeCall(row)
		if err != nil || len(c.Messages) == 0 {
			return true
		}
		at = c.Messages[0].CreatedAt()
		return false
	})
	return at
}
