package diskguard

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckFiles returns an error if the directory lacks files whose absence Pebble would not notice. Without the marker that
// names the manifest, Pebble would start an empty database over the existing files. Without any WAL, it would drop the
// newest messages.
func CheckFiles(disk vfs.FS, what, dir string) error {
	names, err := disk.List(dir)
	if err != nil {
		return nil // the directory does not exist yet, or Pebble reports the error
	}
	var marker, table, wal bool
	for _, name := range names {
		marker = marker || strings.HasPrefix(name, "marker.manifest.")
		table = table || path.Ext(name) == ".sst"
		wal = wal || path.Ext(name) == ".log"
	}
	if (table || wal) && !marker {
		return fmt.Errorf("%s in %s is damaged and was not touched: its marker.manifest file is missing; restore a backup", what, dir)
	}
	if table && !wal {
		return fmt.Errorf("%s in %s is damaged and was not touched: its newest WAL (*.log) is missing; restore a backup", what, dir)
	}
	return CheckManifest(disk, what, dir)
}

// ErrInUse means that another process has the database open.
var ErrInUse = errors.New("in use by another process")

// OpenError turns an error of pebble.Open into a one-line error with the remedy.
func OpenError(what, dir string, err error) error {
	text := err.Error()
	if d, ok := errors.AsType[interface {
		error
		ErrorDetail() string
	}](err); ok { // Pebble puts the file and the offset there
		text += ", " + d.ErrorDetail()
	}
	text = plainText(text)
	if strings.Contains(text, "key=value") {
		text = "the newest OPTIONS-* file: " + text
	}
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES) && strings.Contains(text, "lock"), strings.Contains(text, "lock held by current process"):
		return fmt.Errorf("data directory %s is %w: stop that one, or choose another with --data-dir", dir, ErrInUse)
	case strings.Contains(text, "format major version"):
		return fmt.Errorf("%s in %s was written by a newer version: start that one (%s)", what, dir, text)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("cannot write to %s: choose a folder that this user may write to (%s)", dir, text)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("no space left for the %s in %s: free some space (%s)", what, dir, text)
	case !pebble.IsCorruptionError(err) && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open %s in %s: %w", what, dir, Plain(err))
	default:
		return fmt.Errorf("%s in %s is damaged and was not touched: restore a backup, or move the folder aside to start empty (%s)", what, dir, text)
	}
}

// Listener returns an event listener for damage found while the database is open. A reader that hits damage gets an error,
// and the database stays open; Pebble's default listener would end the process. A compaction that hits damage would be
// retried forever, so it sets the fault.
func Listener(damage *Damage, fault *Fault) *pebble.EventListener {
	var full minuteLimiter
	return &pebble.EventListener{
		DataCorruption: func(info pebble.DataCorruptionInfo) { damage.Report(info.Path, info.Details) },
		BackgroundError: func(err error) {
			switch {
			case pebble.IsCorruptionError(err):
				fault.Set(damage.background(err))
			case errors.Is(err, syscall.ENOSPC):
				if full.allow(time.Now()) {
					damage.Log.Warn("no space for a compaction, which is tried again: free some space", "dir", damage.Dir)
				}
			default:
				damage.Log.Warn("background work of the "+damage.Kind+" failed", "error", err)
			}
		},
	}
}

// minuteLimiter limits a log line to one per minute.
type minuteLimiter struct{ last atomic.Int64 } // Unix time of the last line, seconds

// allow reports whether a line may be logged at time t.
func (r *minuteLimiter) allow(t time.Time) bool {
	last := r.last.Load()
	return t.Unix()-last >= 60 && r.last.CompareAndSwap(last, t.Unix())
}
