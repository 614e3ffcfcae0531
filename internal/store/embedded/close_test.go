package embedded

import (
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestStore_CloseWithOpenView_WaitsForReader: Close rejects new readers and waits for those that hold a view.
func TestStore_CloseWithOpenView_WaitsForReader(t *testing.T) {
	s, err := Open("data", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.acquireView()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for s.view.Load() != nil {
		runtime.Gosched()
	}
	if _, err := s.acquireView(); err == nil {
		t.Error("read on a closing store: got no error, want one")
	}
	if row, err := v.get([]byte{formatKey}); err != nil || len(row) == 0 {
		t.Errorf("read through the open view: got %q, %v; want the format row", row, err)
	}
	v.release()
	if err := <-closed; err != nil {
		t.Errorf("close: got %v, want nil", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: got %v, want nil", err)
	}
}
