package diskguard

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Guard wraps the file system of a Pebble database. It turns every failed write and fsync into the database's fault before
// Pebble sees it. This must happen here, because Pebble handles such errors badly: it logs some as fatal and panics on
// others. If it cannot rotate the WAL, it panics with a lock in a state that ends the process with a stack trace, whatever
// the caller recovers. If a flush cannot write its table, Pebble retries at once and forever, while commits wait. Guard
// therefore blocks the goroutine that met the error, and Pebble never sees it. Removing files may fail: that only costs
// space.
//
// A compaction that runs out of space is an exception. It needs as much space as it reads until it ends, nothing waits for
// it, and Pebble removes its partial output. It fails after a pause, and Pebble retries it.
type Guard struct {
	vfs.FS
	Fault *Fault
}

var _ vfs.FS = Guard{}

// check sets the fault and blocks the caller forever if err is not nil.
func (g Guard) check(operation, name string, err error) {
	if err != nil {
		g.Fault.Set(fmt.Errorf("the disk failed to %s %s, so the durable state is unknown until a restart: %w", operation, name, err))
		select {}
	}
}

// Create implements vfs.FS.
func (g Guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, category)
	guarded := &guardedFile{File: f, guard: g, name: name, compaction: category == compactionCategory}
	if err = guarded.check("create", err); err != nil {
		return nil, err
	}
	return guarded, nil
}

// ReuseForWrite implements vfs.FS.
func (g Guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(oldname, newname, category)
	g.check("reuse", newname, err)
	return &guardedFile{File: f, guard: g, name: newname}, nil
}

// OpenDir implements vfs.FS.
func (g Guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// Unwrap implements vfs.FS.
func (g Guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file or directory that was opened for writing or syncing.
type guardedFile struct {
	vfs.File
	guard Guard
	name  string

	compaction bool // whether a compaction writes the file
}

// compactionCategory is Pebble's category for the output of compactions; flushes have another.
const compactionCategory = "pebble-compaction"

// fullPause is the minimum time between two attempts of a compaction that runs out of space.
const fullPause = 2 * time.Second

// check returns err for a compaction that ran out of space. Any other error sets the fault and blocks the caller forever.
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
