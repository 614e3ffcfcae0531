package crashfs

import (
	"errors"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is an open handle. Like every vfs.File, its offset must not be used concurrently.
type file struct {
	node     *node
	name     string
	writable bool
	offset   int64
	close    sync.Once
}

var _ vfs.File = (*file)(nil)

var errReadOnly = errors.New("file is open for reading only")

// open returns a new handle of the file.
func (n *node) open(name string, writable bool) *file {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handles++
	return &file{node: n, name: name, writable: writable}
}

// Close implements vfs.File. Unsynced data stays unsynced.
func (f *file) Close() error {
	err := os.ErrClosed
	f.close.Do(func() {
		f.node.mu.Lock()
		defer f.node.mu.Unlock()
		f.node.handles--
		err = nil
	})
	return err
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.node.readAt(p, f.offset)
	f.offset += int64(n)
	if n > 0 {
		return n, nil // the next read returns io.EOF
	}
	return n, err
}

func (f *file) ReadAt(p []byte, at int64) (int, error) { return f.node.readAt(p, at) }

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.offset)
	f.offset += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	if !f.writable {
		return 0, errReadOnly
	}
	f.node.write(p, at)
	return len(p), nil
}

func (f *file) Sync() error     { return f.node.sync() }
func (f *file) SyncData() error { return f.node.sync() }

// SyncTo guarantees nothing, as the strictest disk would.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

func (f *file) Stat() (vfs.FileInfo, error)    { return f.node.stat(f.name) }
func (f *file) Preallocate(int64, int64) error { return nil }
func (f *file) Prefetch(int64, int64) error    { return nil }
func (f *file) Fd() uintptr                    { return vfs.InvalidFd }
