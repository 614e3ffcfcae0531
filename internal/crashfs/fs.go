// Package crashfs is a file system that turns kill -9 into a power failure. The page cache survives a killed process, so a kill
// alone loses nothing that was written, synced or not. A proof of durability needs a disk that loses unsynced data. This file
// system keeps unsynced data in memory. File contents reach the base file system when the file is synced. Creations, renames, links
// and removals reach it when their directory is synced. However the process ends, the disk then holds exactly what a strict disk
// would hold after a power failure.
//
// The package does not cause power failures itself and does not tear writes. It is for tests, not for production: unsynced data
// takes memory, which only syncs release. Creation of directories and lock files takes effect at once, since they hold no data.
// Renames and links must stay within one directory.
//
// Concurrency: every method of FS is safe for concurrent use. One lock guards the names, and one per file guards its data. The lock
// of the names is taken first.
package crashfs

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tempSuffix is the suffix of a file whose contents are being written to the disk, before the file gets its name.
const tempSuffix = ".powercut"

// FS is a file system that loses unsynced data when its process ends.
type FS struct {
	base vfs.FS
	mu   struct {
		// guards all names; taken before a node's lock
		sync.Mutex
		nodes   map[string]*node     // files that differ from the disk, or are open for writing, by name
		removed map[string]bool      // names that were removed but still exist on the disk
		pending map[string][]*change // pending changes by directory, in order
	}
}

var _ vfs.FS = (*FS)(nil)

// New returns an FS on top of base.
func New(base vfs.FS) *FS {
	f := &FS{base: base}
	f.mu.nodes = map[string]*node{}
	f.mu.removed = map[string]bool{}
	f.mu.pending = map[string][]*change{}
	return f
}

// change is a change of a directory that has not been synced.
type change struct {
	node *node  // created file; nil for a removal
	from string // old name for a rename or link, else empty
	link bool   // from stays
	name string
}

// addPending queues a change until its directory is synced. The caller holds the lock.
func (f *FS) addPending(s *change) {
	dir := f.base.PathDir(s.name)
	f.mu.pending[dir] = append(f.mu.pending[dir], s)
}

// existsLocked reports whether a file of that name exists.
func (f *FS) existsLocked(name string) bool {
	if f.mu.nodes[name] != nil {
		return true
	}
	if f.mu.removed[name] {
		return false
	}
	_, err := f.base.Stat(name)
	return err == nil
}

// nodeLocked returns the node of a name. It creates a node for a file that is only on the disk.
func (f *FS) nodeLocked(name string) (*node, error) {
	if n := f.mu.nodes[name]; n != nil {
		return n, nil
	}
	if f.mu.removed[name] {
		return nil, notExist("open", name)
	}
	// Stat first, because OpenReadWrite would create the file.
	if _, err := f.base.Stat(name); err != nil {
		return nil, err
	}
	disk, err := f.base.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	n := &node{fs: f, disk: disk}
	f.mu.nodes[name] = n
	return n, nil
}

// sourceLocked returns the file to be renamed or linked.
func (f *FS) sourceLocked(oldname, newname string) (*node, error) {
	if f.base.PathDir(oldname) != f.base.PathDir(newname) {
		return nil, fmt.Errorf("rename or link %s to %s: both names must be in the same directory", oldname, newname)
	}
	return f.nodeLocked(oldname)
}

func notExist(op, name string) error { return &os.PathError{Op: op, Path: name, Err: os.ErrNotExist} }

// Create implements vfs.FS.
func (f *FS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.base.Stat(f.base.PathDir(name)); err != nil {
		return nil, err
	}
	n := &node{fs: f}
	f.mu.nodes[name] = n
	delete(f.mu.removed, name)
	f.addPending(&change{node: n, name: name})
	return n.open(f.base.PathBase(name), true), nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.mu.nodes[name]; n != nil {
		return n.open(f.base.PathBase(name), false), nil
	}
	if f.mu.removed[name] {
		return nil, notExist("open", name)
	}
	return f.base.Open(name, opts...)
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, category vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	if !f.existsLocked(name) {
		f.mu.Unlock()
		return f.Create(name, category)
	}
	defer f.mu.Unlock()
	n, err := f.nodeLocked(name)
	if err != nil {
		return nil, err
	}
	return n.open(f.base.PathBase(name), true), nil
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return f.OpenReadWrite(newname, category)
}

// Link implements vfs.FS.
func (f *FS) Link(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.sourceLocked(oldname, newname)
	if err != nil {
		return err
	}
	if f.existsLocked(newname) {
		return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: os.ErrExist}
	}
	n.mu.Lock()
	n.linked = true
	n.mu.Unlock()
	f.mu.nodes[newname] = n
	delete(f.mu.removed, newname)
	f.addPending(&change{from: oldname, link: true, node: n, name: newname})
	return nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.sourceLocked(oldname, newname)
	if err != nil {
		return err
	}
	delete(f.mu.nodes, oldname)
	f.mu.removed[oldname] = true
	f.mu.nodes[newname] = n
	delete(f.mu.removed, newname)
	f.addPending(&change{from: oldname, node: n, name: newname})
	return nil
}

// Remove implements vfs.FS. Removal of a directory takes effect at once.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.nodes[name] == nil {
		if f.mu.removed[name] {
			return notExist("remove", name)
		}
		info, err := f.base.Stat(name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return f.base.Remove(name)
		}
	}
	delete(f.mu.nodes, name)
	f.mu.removed[name] = true
	f.addPending(&change{name: name})
	return nil
}

// RemoveAll implements vfs.FS for files and for directories of files.
func (f *FS) RemoveAll(name string) error {
	names, err := f.List(name)
	if err != nil {
		if err := f.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	for _, child := range names {
		if err := f.RemoveAll(f.base.PathJoin(name, child)); err != nil {
			return err
		}
	}
	return f.base.RemoveAll(name)
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	onDisk, err := f.base.List(dir)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, name := range onDisk {
		if !f.mu.removed[f.base.PathJoin(dir, name)] && !strings.HasSuffix(name, tempSuffix) {
			names[name] = true
		}
	}
	for path := range f.mu.nodes {
		if f.base.PathDir(path) == f.base.PathDir(f.base.PathJoin(dir, "x")) {
			names[f.base.PathBase(path)] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.mu.nodes[name]; n != nil {
		return n.stat(f.base.PathBase(name))
	}
	if f.mu.removed[name] {
		return nil, notExist("stat", name)
	}
	return f.base.Stat(name)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error { return f.base.MkdirAll(dir, perm) }

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) { return f.base.Lock(name) }

// PathBase implements vfs.FS.
func (f *FS) PathBase(path string) string { return f.base.PathBase(path) }

// PathJoin implements vfs.FS.
func (f *FS) PathJoin(elem ...string) string { return f.base.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (f *FS) PathDir(path string) string { return f.base.PathDir(path) }

// GetDiskUsage implements vfs.FS.
func (f *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) { return f.base.GetDiskUsage(path) }

// Unwrap implements vfs.FS.
func (f *FS) Unwrap() vfs.FS { return f.base }
