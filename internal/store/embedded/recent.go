package embedded

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// recentLimit bounds each of the two generations of recent: about 15 MiB when both are full.
const recentLimit = 1 << 16

// recent knows where the newest unfinished messages are and how far they got: most are settled within moments of
// their append, and then settling needs to read nothing. It is the committer's own. What it holds may be ahead of the
// disk while a batch is written; a batch that fails makes it forget everything.
type recent struct {
	young, old map[esh3ar.MessageID]*settling
}

// add takes in a message that is being appended.
func (c *recent) add(id esh3ar.MessageID, where place) {
	if len(c.young) >= recentLimit || c.young == nil {
		c.old, c.young = c.young, make(map[esh3ar.MessageID]*settling)
	}
	c.young[id] = &settling{id: id, place: where, stored: stored{seq: where.seq, waits: true}}
}

// find gives what is known of a message, or nil.
func (c *recent) find(id esh3ar.MessageID) *settling {
	s, ok := c.young[id]
	if !ok {
		if s, ok = c.old[id]; !ok {
			return nil
		}
	}
	if s.List == nil { // most appends are settled later or never: their first step is made when it is asked for
		s.Steps = lifecycle.First(id, false)
		s.stored.steps = 1
	}
	return s
}

func (c *recent) remove(id esh3ar.MessageID) {
	delete(c.young, id)
	delete(c.old, id)
}

func (c *recent) forget() { c.young, c.old = nil, nil }
