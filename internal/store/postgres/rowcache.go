package postgres

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// rowCacheLimit bounds each of the two generations of the cache. It covers some seconds of full load, which is as long as most
// messages live. A row takes about 300 bytes.
const rowCacheLimit = 1 << 15

// rowCache caches messages as this node last wrote them, so that settling them needs no read. Changes by other nodes are
// detected by the revision.
type rowCache struct {
	mu struct {
		sync.Mutex
		young, old map[esh3ar.MessageID]row
	}
}

func newRowCache() *rowCache {
	r := &rowCache{}
	r.mu.young = map[esh3ar.MessageID]row{}
	return r
}

// find returns the cached row and whether there is one. Its steps must not be modified in place.
func (r *rowCache) find(id esh3ar.MessageID) (found row, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found, ok = r.mu.young[id]; !ok {
		found, ok = r.mu.old[id]
	}
	return found, ok
}

// put caches rows. When the young generation is full, the old one is dropped.
func (r *rowCache) put(rows []row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		if len(r.mu.young) >= rowCacheLimit {
			r.mu.young, r.mu.old = map[esh3ar.MessageID]row{}, r.mu.young
		}
		r.mu.young[rows[i].id] = rows[i]
	}
}

// remove removes a row from the cache.
func (r *rowCache) remove(id esh3ar.MessageID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.young, id)
	delete(r.mu.old, id)
}
