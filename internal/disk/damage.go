package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckFiles refuses a directory that has lost files which pebble would not miss: without the marker that names the
// manifest it would begin an empty store over the rest, and without any WAL it would cut the newest messages off.
func CheckFiles(disk vfs.FS, what, dir string) error {
	names, err := disk.List(dir)
	if err != nil {
		return nil // it is not there yet, or pebble says what is wrong with it
	}
	var marker, table, wal bool
	for _, name := range names {
		marker = marker || strings.HasPrefix(name, "marker.manifest.")
		table = table || path.Ext(name) == ".sst"
		wal = wal || path.Ext(name) == ".log"
	}
	switch {
	case (table || wal) && !marker:
		return fmt.Errorf("%s in %s is damaged and was not touched: its marker.manifest file is missing; restore a backup", what, dir)
	case table && !wal:
		return fmt.Errorf("%s in %s is damaged and was not touched: its newest WAL (*.log) is missing; restore a backup", what, dir)
	}
	return nil
}

// ErrInUse is why a database that another process has open cannot be opened.
var ErrInUse = errors.New("in use by another process")

// OpenError turns what pebble says into a line for an operator.
func OpenError(what, dir string, err error) error {
	text := err.Error()
	if d, ok := errors.AsType[interface {
		error
		ErrorDetail() string
	}](err); ok { // pebble keeps the file and the offset there
		text += ", " + d.ErrorDetail()
	}
	text = strings.ReplaceAll(text, "\n", " ")
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
		return fmt.Errorf("open %s in %s: %w", what, dir, err)
	default:
		return fmt.Errorf("%s in %s is damaged and was not touched: restore a backup, or move the folder aside to start empty (%s)", what, dir, text)
	}
}

// Listener hears of damage that is met while the database runs. A reader that meets it gets an error, and the database
// goes on: pebble's own listener would end the process. A compaction that meets it would be tried again for ever, so that
// is a fault.
func Listener(what, dir string, log *slog.Logger, fault *Fault) *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("the "+what+" is damaged: restore a backup", "file", info.Path, "error", info.Details)
		},
		BackgroundError: func(err error) {
			if pebble.IsCorruptionError(err) {
				fault.Set(fmt.Errorf("%s in %s is damaged: restore a backup: %w", what, dir, err))
				return
			}
			log.Warn("background work of the "+what+" failed", "error", err)
		},
	}
}
