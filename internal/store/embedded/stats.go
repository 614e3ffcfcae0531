package embedded

import "sync/atomic"

// Stats counts what the store has done since it was opened.
type Stats struct {
	Commits  uint64 // synced batches
	Messages uint64 // appended
	Changes  uint64 // settles asked for
	Bytes    uint64 // of the batches
	Refused  uint64 // batches that could not be built or written
}

// counters are the live form of Stats.
type counters struct {
	commits, messages, changes, bytes, refused atomic.Uint64
}

func (c *counters) count(info CommitInfo) {
	if info.Bytes > 0 {
		c.commits.Add(1)
	}
	c.messages.Add(uint64(info.Messages))
	c.changes.Add(uint64(info.Changes))
	c.bytes.Add(uint64(info.Bytes))
}

// Stats tells what the store has done. It is cheap.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{
		Commits: c.commits.Load(), Messages: c.messages.Load(), Changes: c.changes.Load(), Bytes: c.bytes.Load(),
		Refused: c.refused.Load(),
	}
}
