package embedded

import (
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// view is what readers may see: a snapshot taken when everything in the database was synced. It is closed when the
// last of its readers and the store have let go of it.
type view struct {
	snapshot *pebble.Snapshot
	refs     atomic.Int64
	closed   func() // called when the snapshot is closed
}

// publish makes everything written so far readable. Only the committer calls it, after a sync.
func (s *Store) publish() {
	s.views.Add(1)
	v := &view{snapshot: s.db.NewSnapshot(), closed: s.views.Done}
	v.refs.Store(1)
	if old := s.view.Swap(v); old != nil {
		old.release()
	}
}

// read takes hold of the newest view; the caller releases it. There is none after Close, and none after a fault:
// pebble may hold its locks for good then, and a reader would hang in them.
func (s *Store) read() (*view, error) {
	if err := s.fault.Err(); err != nil {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "read: %w", err)
	}
	for {
		v := s.view.Load()
		if v == nil {
			return nil, errClosing
		}
		if v.retain() {
			return v, nil
		}
	}
}

// get reads one row, nil when there is none.
func (v *view) get(key []byte) ([]byte, error) { return getRow(v.snapshot, key) }

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
		v.closed()
	}
}

// source is what rows are read from: the published snapshot for readers, the database for the committer.
type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
}
