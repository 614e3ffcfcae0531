package presence

import "github.com/esh3artech/esh3ar"

// marks are recipients whose presence may have changed, each once, in the order of their changes. When there are too many
// a change is not noted: an assertion then comes with the next round, and an entry that is not taken back ends by itself.
type marks struct {
	waiting []esh3ar.Recipient
	known   map[esh3ar.Recipient]struct{}
	most    int
}

func (m *marks) add(r esh3ar.Recipient) bool {
	if _, ok := m.known[r]; ok {
		return true
	}
	if len(m.waiting) >= m.most {
		return false
	}
	if m.known == nil {
		m.known = map[esh3ar.Recipient]struct{}{}
	}
	m.known[r] = struct{}{}
	m.waiting = append(m.waiting, r)
	return true
}

// take takes the oldest off.
func (m *marks) take(most int) []esh3ar.Recipient {
	n := min(len(m.waiting), most)
	taken := append([]esh3ar.Recipient(nil), m.waiting[:n]...)
	for _, r := range taken {
		delete(m.known, r)
	}
	m.waiting = m.waiting[:copy(m.waiting, m.waiting[n:])]
	if len(m.waiting) == 0 {
		*m = marks{most: m.most} // a storm of connections does not leave its map behind
	}
	return taken
}
