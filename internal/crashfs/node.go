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

// node is one file: its synced contents, overlaid by unsynced writes. The synced contents are on the disk once the file has
// an entry in a synced directory. Until then they are in memory.
type node struct {
	fs *FS
	mu sync.Mutex
	// guards the fields below; taken after FS.mu
	disk    vfs.File // file on the base file system; nil if no synced directory contains it
	synced  []byte   // synced contents while disk is nil
	dirty   []extent // unsynced writes; later ones overlay earlier ones
	handles int      // open handles
	linked  bool     // whether the file has several names; such a node is never dropped
}

// extent is an unsynced write.
type extent struct {
	at   int64
	data []byte
}

func (e extent) end() int64 { return e.at + int64(len(e.data)) }

// write records p until the next sync.
func (n *node) write(p []byte, at int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Nearly all writes of a store append.
	if last := len(n.dirty) - 1; last >= 0 && n.dirty[last].end() == at {
		n.dirty[last].data = append(n.dirty[last].data, p...)
		return
	}
	n.dirty = append(n.dirty, extent{at: at, data: slices.Clone(p)})
}

// readAt reads the synced contents, overlaid by the unsynced writes.
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
	clear(want) // gaps between two writes read as zeros
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

// sync makes the contents durable. The entry in the directory is synced separately.
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

// create creates the file on the disk with its synced contents. It writes them to a temporary file and renames it, so
// that a kill in between leaves no file that is shorter than what was synced.
func (n *node) create(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	disk, err := n.fs.base.Create(name+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = disk.Write(slices.Clone(n.synced)) // a vfs.File may modify the slice
	if err == nil {
		err = disk.Sync()
	}
	if err = errors.Join(err, disk.Close()); err != nil {
		return err
	}
	if err := n.fs.base.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	if n.disk, err = n.fs.base.OpenReadWrite(name, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	n.synced = nil
	return nil
}

// closeIfSynced reports whether the disk alone can represent the file. If so, it closes the file.
func (n *node) closeIfSynced() bool {
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

// info implements vfs.FileInfo.
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
