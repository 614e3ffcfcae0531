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
	if err := f.removeTemporary(name); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &dir{File: d, fs: f, path: f.base.PathDir(f.base.PathJoin(name, "x"))}, nil
}

// removeTemporary removes temporary files left by a kill during the sync of a directory.
func (f *FS) removeTemporary(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := f.base.List(name)
	if err != nil {
		return err
	}
	for _, left := range names {
		if strings.HasSuffix(left, tempSuffix) {
			if err := f.base.Remove(f.base.PathJoin(name, left)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dir is an open directory. Syncing it makes the changes of its entries durable.
type dir struct {
	vfs.File
	fs   *FS
	path string
}

func (d *dir) Sync() error     { return d.fs.syncDir(d.path, d.File) }
func (d *dir) SyncData() error { return d.Sync() }

// syncDir applies the pending changes of a directory in order, then syncs it. A kill between two changes leaves the first
// ones applied, as on a journaling file system.
func (f *FS) syncDir(path string, disk vfs.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.pending[path]) > 0 {
		if err := f.applyLocked(f.mu.pending[path][0]); err != nil {
			return err // a later sync starts with the failed change
		}
		f.mu.pending[path] = f.mu.pending[path][1:]
	}
	delete(f.mu.pending, path)
	f.dropSyncedLocked(path)
	return disk.Sync()
}

// applyLocked applies one pending change to the base file system.
func (f *FS) applyLocked(s *change) error {
	switch {
	case s.from == "" && s.node != nil:
		return s.node.create(s.name)
	case s.from == "":
		return f.base.Remove(s.name)
	case s.link:
		return f.base.Link(s.from, s.name)
	default:
		return f.base.Rename(s.from, s.name)
	}
}

// dropSyncedLocked drops state that equals the disk: names that are removed there too, and files without open handles and
// unsynced data.
func (f *FS) dropSyncedLocked(path string) {
	for name := range f.mu.removed {
		if f.base.PathDir(name) == path {
			delete(f.mu.removed, name)
		}
	}
	for name, n := range f.mu.nodes {
		if f.base.PathDir(name) == path && n.closeIfSynced() {
			delete(f.mu.nodes, name)
		}
	}
}
