package embedded

import (
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// view is what readers may see: a snapshot taken when everything in the database was synced. It is closed when the
// last of its readers and the store have let go of it.
type view struct {
	snapshot *pebble.Snapshot
	refs     atomic.Int64
}

// publish makes everything written so far readable. Only the committer calls it, after a sync.
func (s *Store) publish() {
	v := &view{snapshot: s.db.NewSnapshot()}
	v.refs.Store(1)
	if old := s.view.Swap(v); old != nil {
		old.release()
	}
}

// read takes hold of the newest view; the caller releases it.
func (s *Store) read() *view {
	for {
		v := s.view.Load()
		if v.retain() {
			return v
		}
	}
}

// retain fails when the view was let go of between load and now.
func (v *view) retain() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		_ = v.snapshot.Close() // errs only when closed twice
	}
}

// source is what rows are read from: the published snapshot for readers, the database for the committer.
type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
}
