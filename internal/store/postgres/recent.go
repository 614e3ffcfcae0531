package postgres

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// recentRows is how many messages a node remembers, in each of two generations: some seconds of full load, which is as long as
// most messages live. One takes about 300 bytes.
const recentRows = 1 << 15

// recent remembers messages as this node wrote them last, so that settling them needs no read. What another node has
// changed since is noticed by its revision.
type recent struct {
	mu struct {
		sync.Mutex
		young, old map[esh3ar.MessageID]row
	}
}

func newRecent() *recent {
	r := &recent{}
	r.mu.young = map[esh3ar.MessageID]row{}
	return r
}

// find gives what is remembered; its steps must not be changed in place.
func (r *recent) find(id esh3ar.MessageID) (found row, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found, ok = r.mu.young[id]; !ok {
		found, ok = r.mu.old[id]
	}
	return found, ok
}

func (r *recent) keep(rows []row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		if len(r.mu.young) >= recentRows {
			r.mu.young, r.mu.old = map[esh3ar.MessageID]row{}, r.mu.young
		}
		r.mu.young[rows[i].id] = rows[i]
	}
}

func (r *recent) forget(id esh3ar.MessageID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.young, id)
	delete(r.mu.old, id)
}
