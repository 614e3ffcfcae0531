package embedded

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// messageCacheLimit bounds each of the two generations of the cache. Both together take about 15 MiB when full.
const messageCacheLimit = 1 << 16

// messageCache caches the location and progress of the newest unfinished messages. Most messages are settled shortly after their
// append, and then need no read. It is used by the committer's goroutine only. While a batch is being written its contents
// may be ahead of the disk; a failed batch clears it.
type messageCache struct {
	young, old map[esh3ar.MessageID]*messageUpdate
}

// add caches a message that is being appended.
func (c *messageCache) add(id esh3ar.MessageID, where location) {
	if len(c.young) >= messageCacheLimit || c.young == nil {
		c.old, c.young = c.young, make(map[esh3ar.MessageID]*messageUpdate)
	}
	c.young[id] = &messageUpdate{id: id, location: where, stored: storedState{seq: where.seq, undelivered: true}}
}

// find returns the cached message, or nil.
func (c *messageCache) find(id esh3ar.MessageID) *messageUpdate {
	s, ok := c.young[id]
	if !ok {
		if s, ok = c.old[id]; !ok {
			return nil
		}
	}
	// The first step is created on demand: most messages are settled after the cache has dropped them, or never.
	if s.List == nil {
		s.Steps = lifecycle.First(id, false)
		s.stored.steps = 1
	}
	return s
}

func (c *messageCache) remove(id esh3ar.MessageID) {
	delete(c.young, id)
	delete(c.old, id)
}

func (c *messageCache) reset() { c.young, c.old = nil, nil }
