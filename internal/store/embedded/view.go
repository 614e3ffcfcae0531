package embedded

import (
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// view is the state that readers may see: a snapshot taken when everything in the database was synced. It is closed when the
// store and all its readers have released it.
type view struct {
	snapshot *pebble.Snapshot
	refs     atomic.Int64 // references: one of the store, one per reader
	closed   func()       // called after the snapshot was closed
}

// publish makes everything written so far visible to readers. Only the committer calls it, after a sync.
func (s *Store) publish() {
	s.views.Add(1)
	v := &view{snapshot: s.db.NewSnapshot(), closed: s.views.Done}
	v.refs.Store(1)
	if old := s.view.Swap(v); old != nil {
		old.release()
	}
}

// acquireView returns the latest view; the caller must release it. It fails after Close, and after a fault: Pebble may hold its
// locks forever then, and a reader would block on them.
func (s *Store) acquireView() (*view, error) {
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

// get returns one row, or nil if it does not exist.
func (v *view) get(key []byte) ([]byte, error) { return getRow(v.snapshot, key) }

// retain adds a reference. It returns false if the view has been closed since it was loaded.
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

// release drops a reference and closes the snapshot with the last one.
func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		_ = v.snapshot.Close() // fails only if it is closed twice
		v.closed()
	}
}

// source is where rows are read from: a published snapshot for readers, the database for the committer.
type source interface {
	Get(key []byte) ([]byte, io.Closer, error)
}
