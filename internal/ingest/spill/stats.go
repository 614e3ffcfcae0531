package spill

import (
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// Stats describes the spill at one moment, and what has happened since it was opened.
type Stats struct {
	Calls        int         // calls in the queue
	Messages     int         // messages in the queue
	Recipients   int         // recipients of these messages
	Bytes        int64       // size of all rows, with those in quarantine
	Oldest       esh3ar.Time // creation of the oldest call in the queue; zero if it is empty
	InQuarantine int         // calls in quarantine

	Spilled      uint64 // messages appended
	Drained      uint64 // messages that are in the store now
	Duplicates   uint64 // drained messages that the store canceled because another call had their key
	Full         uint64 // batches refused for lack of space
	Quarantined  uint64 // calls moved to the quarantine
	FailedPasses uint64 // passes of the drain that ended with an error
}

// counters are the counters behind Stats.
type counters struct {
	messages, drained, duplicates, full, quarantined, failedPasses atomic.Uint64
}

// Stats returns the current numbers. It reads one row from disk.
func (s *Spill) Stats() Stats {
	c := &s.stats
	stats := Stats{
		Spilled: c.messages.Load(), Drained: c.drained.Load(), Duplicates: c.duplicates.Load(), Full: c.full.Load(),
		Quarantined: c.quarantined.Load(), FailedPasses: c.failedPasses.Load(), Oldest: s.oldest(),
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	x := &s.index.mu
	stats.Calls, stats.Messages, stats.Recipients = x.calls, x.messages, len(x.recipients)
	stats.Bytes, stats.InQuarantine = x.bytes, x.inQuarantine
	return stats
}

// oldest returns the creation time of the first readable call in the queue; zero if there is none or if the spill cannot be read.
func (s *Spill) oldest() (created esh3ar.Time) {
	if s.enter() != nil {
		return 0
	}
	defer s.gate.Leave()
	from, limit := s.index.durableRange(0)
	_ = s.walk(callKey, from, func(p position, row []byte) bool {
		if p >= limit {
			return false
		}
		c, err := decodeCall(row)
		if err != nil || len(c.Messages) == 0 {
			return true
		}
		created = c.Messages[0].CreatedAt()
		return false
	})
	return created
}
