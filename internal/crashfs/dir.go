package crashfs

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	d, err := f.base.OpenDir(name)
	if err != nil {
		return nil, err
	}
	if err := f.sweep(name); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &dir{File: d, fs: f, path: f.base.PathDir(f.base.PathJoin(name, "x"))}, nil
}

// sweep removes what a kill in the middle of a directory's sync left.
func (f *FS) sweep(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := f.base.List(name)
	if err != nil {
		return err
	}
	for _, left := range names {
		if strings.HasSuffix(left, shadow) {
			if err := f.base.Remove(f.base.PathJoin(name, left)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dir is an open directory: syncing it is what brings its changes to the disk.
type dir struct {
	vfs.File
	fs   *FS
	path string
}

func (d *dir) Sync() error     { return d.fs.syncDir(d.path, d.File) }
func (d *dir) SyncData() error { return d.Sync() }

// syncDir brings a directory's changes to the disk in their order, then syncs it there. A kill between two of them
// leaves the first ones done, as a journaling disk would.
func (f *FS) syncDir(path string, disk vfs.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.steps[path]) > 0 {
		if err := f.applyLocked(f.mu.steps[path][0]); err != nil {
			return err // it stays the first one: a later sync goes on there
		}
		f.mu.steps[path] = f.mu.steps[path][1:]
	}
	delete(f.mu.steps, path)
	f.forgetLocked(path)
	return disk.Sync()
}

func (f *FS) applyLocked(s *step) error {
	switch {
	case s.from == "" && s.node != nil:
		return s.node.materialise(s.name)
	case s.from == "":
		return f.base.Remove(s.name)
	case s.link:
		return f.base.Link(s.from, s.name)
	default:
		return f.base.Rename(s.from, s.name)
	}
}

// forgetLocked drops what is now the same on the disk: names that are gone there too, and files that nobody holds
// open and that have nothing unsynced.
func (f *FS) forgetLocked(path string) {
	for name := range f.mu.gone {
		if f.base.PathDir(name) == path {
			delete(f.mu.gone, name)
		}
	}
	for name, n := range f.mu.nodes {
		if f.base.PathDir(name) == path && n.idle() {
			delete(f.mu.nodes, name)
		}
	}
}
