package embedded

import (
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCloseWaitsForReaders closes a store while a reader holds a view: new readers are refused, that one is not cut off.
func TestCloseWaitsForReaders(t *testing.T) {
	s, err := Open("data", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for s.view.Load() != nil {
		runtime.Gosched()
	}
	if _, err := s.read(); err == nil {
		t.Error("a closing store lets a reader in")
	}
	if row, err := v.get([]byte{formatKey}); err != nil || len(row) == 0 {
		t.Errorf("the reader under way got %q, %v", row, err)
	}
	v.release()
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}
