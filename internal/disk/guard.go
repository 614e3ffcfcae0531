package disk

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Guard stands between pebble and the disk and turns every refused write and failed fsync into the database's fault before
// pebble hears of it. It has to be here. Told of such an error, pebble logs it as fatal in some places and panics in
// others; where a WAL cannot be turned it panics with a lock in a state that ends the process with a stack whatever the
// caller recovers; and a flush that cannot make its table is tried again at once, for ever, while commits wait for it.
// So the goroutine that met the error is parked, and pebble never learns. Removing files may fail: that only costs room.
type Guard struct {
	vfs.FS
	Fault *Fault
}

var _ vfs.FS = Guard{}

// check parks the caller for good if err is not nil.
func (g Guard) check(operation, name string, err error) {
	if err != nil {
		g.Fault.Set(fmt.Errorf("the disk refused to %s %s, so what it holds is unknown until a restart: %w", operation, name, err))
		select {}
	}
}

// Create realises vfs.FS.
func (g Guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, category)
	g.check("create", name, err)
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// ReuseForWrite realises vfs.FS.
func (g Guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(oldname, newname, category)
	g.check("reuse", newname, err)
	return &guardedFile{File: f, guard: g, name: newname}, nil
}

// OpenDir realises vfs.FS.
func (g Guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// Unwrap realises vfs.FS.
func (g Guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file or directory that was opened to be written or synced.
type guardedFile struct {
	vfs.File
	guard Guard
	name  string
}

func (f *guardedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.guard.check("write", f.name, err)
	return n, err
}

func (f *guardedFile) Sync() error {
	err := f.File.Sync()
	f.guard.check("sync", f.name, err)
	return err
}

func (f *guardedFile) SyncData() error {
	err := f.File.SyncData()
	f.guard.check("sync", f.name, err)
	return err
}

func (f *guardedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	f.guard.check("sync", f.name, err)
	return full, err
}

func (f *guardedFile) Close() error {
	err := f.File.Close()
	f.guard.check("close", f.name, err)
	return err
}
