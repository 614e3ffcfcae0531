// Package powercut makes kill -9 as hard as a power cut: a file system for pebble over the real one, through which
// no data reaches the disk before it is synced. What was written and not fsynced stays in the memory of the process, so
// a killed process leaves the data that a cut of the power would have left. Names of files stay as they are; the tests on
// pebble's crashable memory file system cover those. For tests.
//
// Concurrency: as pebble needs it; one goroutine writes a file, another may sync it.
package powercut

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// New wraps base.
func New(base vfs.FS) vfs.FS { return &fs{FS: base} }

type fs struct{ vfs.FS }

// Create makes a file whose data stays in memory until it is synced.
func (f *fs) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return hold(file), err
}

// ReuseForWrite would keep old bytes of another file, which a cut may leave behind: a new file is made instead.
func (f *fs) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.FS.Rename(oldname, newname); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(newname, category)
	return hold(file), err
}

// Unwrap gives the file system below.
func (f *fs) Unwrap() vfs.FS { return f.FS }

func hold(file vfs.File) vfs.File {
	if file == nil {
		return nil
	}
	return &held{File: file}
}

// held is a file that is being written: what was not synced is in pending.
type held struct {
	vfs.File
	mu struct {
		sync.Mutex
		pending []byte
	}
}

// Write keeps p in memory.
func (h *held) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.pending = append(h.mu.pending, p...)
	return len(p), nil
}

// flushLocked hands what is pending to the file below.
func (h *held) flushLocked() error {
	for len(h.mu.pending) > 0 {
		n, err := h.File.Write(h.mu.pending)
		h.mu.pending = h.mu.pending[n:]
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
	}
	h.mu.pending = nil
	return nil
}

// Sync makes everything written so far durable.
func (h *held) Sync() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.flushLocked(); err != nil {
		return err
	}
	return h.File.Sync()
}

// SyncData is Sync.
func (h *held) SyncData() error { return h.Sync() }

// SyncTo says that nothing was made durable: it is a hint only.
func (h *held) SyncTo(int64) (fullSync bool, err error) { return false, nil }

// Close loses what was not synced, as a cut after the close would: nobody has promised anything about it.
func (h *held) Close() error { return h.File.Close() }
