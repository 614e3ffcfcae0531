package presence

import "github.com/esh3artech/esh3ar"

// dirtySet is a bounded FIFO queue of recipients whose presence may have changed; each recipient is in it at most once. When it is
// full, a change is dropped: the next renewal asserts a new session, and the entry of an ended session expires.
type dirtySet struct {
	queue   []esh3ar.Recipient
	members map[esh3ar.Recipient]struct{}
	limit   int
}

func (m *dirtySet) add(r esh3ar.Recipient) bool {
	if _, ok := m.members[r]; ok {
		return true
	}
	if len(m.queue) >= m.limit {
		return false
	}
	if m.members == nil {
		m.members = map[esh3ar.Recipient]struct{}{}
	}
	m.members[r] = struct{}{}
	m.queue = append(m.queue, r)
	return true
}

// pop removes and returns up to most of the oldest recipients.
func (m *dirtySet) pop(most int) []esh3ar.Recipient {
	n := min(len(m.queue), most)
	taken := append([]esh3ar.Recipient(nil), m.queue[:n]...)
	for _, r := range taken {
		delete(m.members, r)
	}
	m.queue = m.queue[:copy(m.queue, m.queue[n:])]
	if len(m.queue) == 0 {
		*m = dirtySet{limit: m.limit} // release the map that a connection storm has grown
	}
	return taken
}
