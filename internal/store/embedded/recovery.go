package embedded

import (
	"path"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Recovery is what opening a store found. The checkpoint that it starts from is pebble's: tables that were flushed, and
// the WAL since. Replaying that is the whole of it and is bounded by the memtables, whatever the store holds: a few times
// Options.MemTableSize. Nothing else is rebuilt. What is unfinished is found where it lies: messages in the undelivered
// index when their phones connect, tasks when they are due.
type Recovery struct {
	Took     time.Duration
	WALs     int    // files replayed
	WALBytes int64  // in them
	Events   uint64 // position of the newest status event
}

// Recovery tells what opening found.
func (s *Store) Recovery() Recovery { return s.found }

// leftBehind looks at the WALs before they are replayed. It is for the operator's eyes: a disk that does not answer
// here will say so to pebble.
func leftBehind(disk vfs.FS, dir string) (r Recovery) {
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
