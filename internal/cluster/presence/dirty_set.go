package presence

import "github.com/esh3artech/esh3ar"

// dirtySet are recipients whose presence may have changed, each once, in the order of their changes. When there are too many
// a change is not noted: an assertion then comes with the next round, and an entry that is not taken back ends by itself.
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

// pop takes the oldest off.
func (m *dirtySet) pop(most int) []esh3ar.Recipient {
	n := min(len(m.queue), most)
	taken := append([]esh3ar.Recipient(nil), m.queue[:n]...)
	for _, r := range taken {
		delete(m.members, r)
	}
	m.queue = m.queue[:copy(m.queue, m.queue[n:])]
	if len(m.queue) == 0 {
		*m = dirtySet{limit: m.limit} // a storm of connections does not leave its map behind
	}
	return taken
}
