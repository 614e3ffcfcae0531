// Package crashfs is a file system that makes kill -9 a power cut. The page cache outlives a process, so killing one
// loses nothing that was written, synced or not; a proof that nothing is lost needs a disk that forgets. This one keeps
// what was not synced in memory: bytes reach the real file when it is synced, and a directory's creations, renames,
// links and removals reach the disk when that directory is synced. Whatever ends the process, the disk then holds
// exactly what a strict disk would hold after a power cut.
//
// It does not make power cuts by itself, tears no writes, and is for proofs, not for service: what is not synced takes
// memory, bounded only by how often the store above syncs. Directories themselves are made at once, and so are lock
// files: neither holds data. Renames and links stay within one directory.
//
// Concurrency: every method may be called from any goroutine. One lock guards the names, and one each file's bytes; the
// names' lock is taken first.
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

// shadow ends the names of files whose bytes are being brought to the disk, before their entry is made.
const shadow = ".powercut"

// FS is the forgetful file system.
type FS struct {
	base vfs.FS
	mu   struct {
		sync.Mutex
		nodes map[string]*node   // names whose file is not simply the one on the disk
		gone  map[string]bool    // names that the disk still has
		steps map[string][]*step // by directory: what its next sync brings to the disk, in order
	}
}

var _ vfs.FS = (*FS)(nil)

// New puts the forgetful file system over base.
func New(base vfs.FS) *FS {
	f := &FS{base: base}
	f.mu.nodes, f.mu.gone, f.mu.steps = map[string]*node{}, map[string]bool{}, map[string][]*step{}
	return f
}

// step is one change of a directory that the disk does not know yet.
type step struct {
	node *node  // created; nil: see from
	from string // renamed or linked from; empty: removed
	link bool
	name string
}

func (f *FS) pend(s *step) {
	dir := f.base.PathDir(s.name)
	f.mu.steps[dir] = append(f.mu.steps[dir], s)
}

// exists tells whether there is a file of that name.
func (f *FS) existsLocked(name string) bool {
	if f.mu.nodes[name] != nil {
		return true
	}
	if f.mu.gone[name] {
		return false
	}
	_, err := f.base.Stat(name)
	return err == nil
}

// nodeLocked finds the node of a name, or makes one of the file on the disk.
func (f *FS) nodeLocked(name string) (*node, error) {
	if n := f.mu.nodes[name]; n != nil {
		return n, nil
	}
	if f.mu.gone[name] {
		return nil, notExist("open", name)
	}
	if _, err := f.base.Stat(name); err != nil { // opening for writing would make it
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

// sourceLocked finds the file that gets another name.
func (f *FS) sourceLocked(oldname, newname string) (*node, error) {
	if f.base.PathDir(oldname) != f.base.PathDir(newname) {
		return nil, fmt.Errorf("rename or link %s to %s: a disk for power cuts keeps both within one directory", oldname, newname)
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
	delete(f.mu.gone, name)
	f.pend(&step{node: n, name: name})
	return n.open(f.base.PathBase(name), true), nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.mu.nodes[name]; n != nil {
		return n.open(f.base.PathBase(name), false), nil
	}
	if f.mu.gone[name] {
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
	delete(f.mu.gone, newname)
	f.pend(&step{from: oldname, link: true, node: n, name: newname})
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
	f.mu.gone[oldname] = true
	f.mu.nodes[newname] = n
	delete(f.mu.gone, newname)
	f.pend(&step{from: oldname, node: n, name: newname})
	return nil
}

// Remove implements vfs.FS. Directories go at once.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.nodes[name] == nil {
		if f.mu.gone[name] {
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
	f.mu.gone[name] = true
	f.pend(&step{name: name})
	return nil
}

// RemoveAll implements vfs.FS, for files and for directories of files.
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
		if !f.mu.gone[f.base.PathJoin(dir, name)] && !strings.HasSuffix(name, shadow) {
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
	if f.mu.gone[name] {
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
