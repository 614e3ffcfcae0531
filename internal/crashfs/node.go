package crashfs

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// node is one file: what is synced, and over it what is not. What is synced lies on the disk once the file has an
// entry in a synced directory, and in memory before.
type node struct {
	fs      *FS
	mu      sync.Mutex
	disk    vfs.File // nil: no synced directory knows this file
	synced  []byte   // while disk is nil
	dirty   []extent // later ones lie over earlier ones
	handles int
	linked  bool // has several names, and stays
}

// extent is a run of bytes that was written and not synced.
type extent struct {
	at   int64
	data []byte
}

func (e extent) end() int64 { return e.at + int64(len(e.data)) }

// write keeps p for the next sync.
func (n *node) write(p []byte, at int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last := len(n.dirty) - 1; last >= 0 && n.dirty[last].end() == at { // appending is nearly all that stores do
		n.dirty[last].data = append(n.dirty[last].data, p...)
		return
	}
	n.dirty = append(n.dirty, extent{at: at, data: slices.Clone(p)})
}

// readAt reads through the unsynced bytes to the synced ones.
func (n *node) readAt(p []byte, at int64) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size, err := n.sizeLocked()
	if err != nil {
		return 0, err
	}
	if at >= size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), size-at)]
	clear(want) // what lies between two writes reads as zeros
	if err := n.readSyncedLocked(want, at); err != nil {
		return 0, err
	}
	for _, e := range n.dirty {
		if from, to := max(e.at, at), min(e.end(), at+int64(len(want))); from < to {
			copy(want[from-at:to-at], e.data[from-e.at:])
		}
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

func (n *node) readSyncedLocked(p []byte, at int64) error {
	if n.disk == nil {
		if at < int64(len(n.synced)) {
			copy(p, n.synced[at:])
		}
		return nil
	}
	if _, err := n.disk.ReadAt(p, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (n *node) sizeLocked() (int64, error) {
	size := int64(len(n.synced))
	if n.disk != nil {
		info, err := n.disk.Stat()
		if err != nil {
			return 0, err
		}
		size = info.Size()
	}
	for _, e := range n.dirty {
		size = max(size, e.end())
	}
	return size, nil
}

// sync makes all that was written durable, as far as the file itself is.
func (n *node) sync() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.dirty {
		if n.disk == nil {
			if grow := e.end() - int64(len(n.synced)); grow > 0 {
				n.synced = append(n.synced, make([]byte, grow)...)
			}
			copy(n.synced[e.at:], e.data)
			continue
		}
		if _, err := n.disk.WriteAt(e.data, e.at); err != nil {
			return err
		}
	}
	n.dirty = nil
	if n.disk == nil {
		return nil
	}
	return n.disk.SyncData()
}

// materialise gives the file its entry on the disk, with what is synced of it. The bytes are there before the entry
// is, so that a kill in between shows no file that is shorter than what was synced.
func (n *node) materialise(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	disk, err := n.fs.base.Create(name+shadow, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = disk.Write(slices.Clone(n.synced)) // a vfs.File may change what it is given to write
	if err == nil {
		err = disk.Sync()
	}
	if err = errors.Join(err, disk.Close()); err != nil {
		return err
	}
	if err := n.fs.base.Rename(name+shadow, name); err != nil {
		return err
	}
	if n.disk, err = n.fs.base.OpenReadWrite(name, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	n.synced = nil
	return nil
}

// idle tells whether the disk alone can stand for the file, and lets go of it then.
func (n *node) idle() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.disk == nil || n.linked || n.handles > 0 || len(n.dirty) > 0 {
		return false
	}
	return n.disk.Close() == nil
}

func (n *node) stat(name string) (vfs.FileInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size, err := n.sizeLocked()
	return info{name: name, size: size}, err
}

// info describes a file.
type info struct {
	name string
	size int64
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) Mode() os.FileMode      { return 0o644 }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) IsDir() bool            { return false }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
