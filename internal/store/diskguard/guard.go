package diskguard

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Guard stands between pebble and the disk and turns every refused write and failed fsync into the database's fault before
// pebble hears of it. It has to be here. Told of such an error, pebble logs it as fatal in some places and panics in
// others; where a WAL cannot be turned it panics with a lock in a state that ends the process with a stack whatever the
// caller recovers; and a flush that cannot make its table is tried again at once, for ever, while commits wait for it.
// So the goroutine that met the error is parked, and pebble never learns. Removing files may fail: that only costs room.
//
// A compaction that finds no space is the exception: it needs as much as it reads until it has ended, nothing waits for it, and
// pebble removes what it has written so far. It fails after a pause and is tried again.
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
	guarded := &guardedFile{File: f, guard: g, name: name, compaction: category == compactionCategory}
	if err = guarded.check("create", err); err != nil {
		return nil, err
	}
	return guarded, nil
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

	compaction bool // whether a compaction writes it
}

// compactionCategory is pebble's name for what compactions write, apart from flushes.
const compactionCategory = "pebble-compaction"

// fullPause is the least time between two attempts of a compaction that finds no space.
const fullPause = 2 * time.Second

// check returns err only for a compaction that finds no space; for any other error it parks the caller for good.
func (f *guardedFile) check(operation string, err error) error {
	if err != nil && f.compaction && errors.Is(err, syscall.ENOSPC) {
		time.Sleep(fullPause)
		return err
	}
	f.guard.check(operation, f.name, err)
	return nil
}

func (f *guardedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.check("write", err)
}

func (f *guardedFile) Sync() error { return f.check("sync", f.File.Sync()) }

func (f *guardedFile) SyncData() error { return f.check("sync", f.File.SyncData()) }

func (f *guardedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.check("sync", err)
}

func (f *guardedFile) Close() error { return f.check("close", f.File.Close()) }
