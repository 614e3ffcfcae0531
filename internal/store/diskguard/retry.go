package diskguard

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Retry repeats operations that failed because this process (EMFILE) or the system (ENFILE) has no file descriptor left.
// Such an error is not a failure of the disk, but Pebble and Guard would treat it as one. The operation waits without limit
// until a descriptor is free. Retry logs the first of a series of waiting operations.
type Retry struct {
	vfs.FS
	log     *slog.Logger
	waiting atomic.Int64  // operations that wait now
	repeats atomic.Uint64 // attempts repeated since the start
}

var _ vfs.FS = (*Retry)(nil)

// NewRetry returns a Retry on top of inner. If inner is a Retry, NewRetry returns inner.
func NewRetry(inner vfs.FS, log *slog.Logger) *Retry {
	if r, ok := inner.(*Retry); ok {
		return r
	}
	return &Retry{FS: inner, log: log}
}

// Repeats returns the number of repeated attempts.
func (r *Retry) Repeats() uint64 { return r.repeats.Load() }

// Bounds of the pause between attempts. It doubles from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// exhausted reports whether an error means that no file descriptor is left.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// do calls operation until it fails for another reason than a missing descriptor, or succeeds.
func (r *Retry) do(what, name string, operation func() error) error {
	err := operation()
	if !exhausted(err) {
		return err
	}
	if r.waiting.Add(1) == 1 {
		r.log.Error("no file descriptor is left for a file of the store; the operation waits for one: raise the limit of open files (ulimit -n)",
			"operation", what, "file", name, "error", err)
	}
	defer r.waiting.Add(-1)
	for pause := firstPause; exhausted(err); pause = min(2*pause, lastPause) {
		time.Sleep(pause)
		r.repeats.Add(1)
		err = operation()
	}
	return err
}

// Create implements vfs.FS.
func (r *Retry) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	var f vfs.File
	var err error
	err = r.do("create", name, func() error { f, err = r.FS.Create(name, category); return err })
	return f, err
}

// Open implements vfs.FS.
func (r *Retry) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	var f vfs.File
	var err error
	err = r.do("open", name, func() error { f, err = r.FS.Open(name, opts...); return err })
	return f, err
}

// OpenReadWrite implements vfs.FS.
func (r *Retry) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	var f vfs.File
	var err error
	err = r.do("open", name, func() error { f, err = r.FS.OpenReadWrite(name, category, opts...); return err })
	return f, err
}

// OpenDir implements vfs.FS.
func (r *Retry) OpenDir(name string) (vfs.File, error) {
	var f vfs.File
	var err error
	err = r.do("open", name, func() error { f, err = r.FS.OpenDir(name); return err })
	return f, err
}

// ReuseForWrite implements vfs.FS. It consists of a rename and an open. If only the open failed, the file already has its
// new name.
func (r *Retry) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	var f vfs.File
	var err error
	err = r.do("reuse", newname, func() error {
		f, err = r.FS.ReuseForWrite(oldname, newname, category)
		if exhausted(err) {
			if _, old := r.FS.Stat(oldname); errors.Is(old, fs.ErrNotExist) {
				f, err = r.FS.OpenReadWrite(newname, category)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // renamed by the attempt before
			f, err = r.FS.OpenReadWrite(newname, category)
		}
		return err
	})
	return f, err
}

// Lock implements vfs.FS.
func (r *Retry) Lock(name string) (io.Closer, error) {
	var lock io.Closer
	var err error
	err = r.do("lock", name, func() error { lock, err = r.FS.Lock(name); return err })
	return lock, err
}

// List implements vfs.FS.
func (r *Retry) List(dir string) (names []string, err error) {
	err = r.do("list", dir, func() error { names, err = r.FS.List(dir); return err })
	return names, err
}

// RemoveAll implements vfs.FS.
func (r *Retry) RemoveAll(name string) error {
	return r.do("remove", name, func() error { return r.FS.RemoveAll(name) })
}

// Unwrap implements vfs.FS.
func (r *Retry) Unwrap() vfs.FS { return r.FS }
