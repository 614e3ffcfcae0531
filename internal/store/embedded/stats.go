package embedded

import "sync/atomic"

// Stats counts the work of the store since it was opened.
type Stats struct {
	Commits  uint64 // synced batches
	Messages uint64 // messages appended
	Changes  uint64 // changes requested by Settle
	Bytes    uint64 // size of the committed batches
	Refused  uint64 // batches that could not be built or written
}

// counters are the atomic form of Stats.
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

// Stats returns the counters. It is cheap.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{
		Commits: c.commits.Load(), Messages: c.messages.Load(), Changes: c.changes.Load(), Bytes: c.bytes.Load(),
		Refused: c.refused.Load(),
	}
}
