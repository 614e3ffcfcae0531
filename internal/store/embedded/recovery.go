package embedded

import (
	"path"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Recovery describes what opening a store found. Opening starts from Pebble's flushed tables and replays the WAL written
// since. The WAL is bounded by the memtables, at a few times Options.MemTableSize, whatever the size of the store. Nothing
// else is rebuilt: unfinished messages are found in the undelivered index when their phones connect, and tasks when they are
// due.
type Recovery struct {
	Took     time.Duration // duration of opening
	WALs     int           // WAL files replayed
	WALBytes int64         // total size of the WAL files
	Events   uint64        // position of the newest status event
}

// Recovery returns what opening the store found.
func (s *Store) Recovery() Recovery { return s.recovery }

// reportWALs reports the WAL files before they are replayed. Errors are ignored: the report is informational, and Pebble
// meets the same errors next.
func reportWALs(disk vfs.FS, dir string) Recovery {
	var r Recovery
	names, err := disk.List(dir)
	if err != nil {
		return r
	}
	for _, name := range names {
		if path.Ext(name) != ".log" {
			continue
		}
		r.WALs++
		if info, err := disk.Stat(disk.PathJoin(dir, name)); err == nil {
			r.WALBytes += info.Size()
		}
	}
	return r
}
