package diskguard

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pace has the writing of tables give way while goroutines wait for a processor. A flush or a compaction computes for half a second
// without a pause, in turns of ten milliseconds, the most that Go's scheduler gives; others have turns of some 20 µs. On two
// processors it takes the half of what calls are served with, for as long as it lasts. So it pauses between writes, for twice the time
// that it has worked. Its work takes three times as long then, which is a small part of what it may take: tables are written for a
// tenth of the time. Where it falls behind all the same, appends wait for it, nobody waits for a processor, and it pauses no more.
type Pace struct {
	vfs.FS
	Crowded func() bool // whether goroutines wait for a processor; called by several
}

var _ vfs.FS = Pace{}

// Create realises vfs.FS.
func (p Pace) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &pacedFile{File: f, crowded: p.Crowded}, nil
}

// Unwrap realises vfs.FS.
func (p Pace) Unwrap() vfs.FS { return p.FS }

// pacedFile is a table that is written.
type pacedFile struct {
	vfs.File
	crowded func() bool
	since   time.Time // it last paused, or was last written; zero: never
}

// Bounds of the work between pauses. Shorter ones would be timers and little else. What took longer than the longest was not work: it
// waited for the disk or for a processor.
const (
	leastWork = 500 * time.Microsecond
	mostWork  = 2 * time.Millisecond
	pauses    = 2 // times the work
)

// Write realises vfs.File.
func (f *pacedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	now := time.Now()
	worked := now.Sub(f.since)
	switch {
	case f.since.IsZero():
		f.since = now
	case worked < leastWork:
	case f.crowded():
		time.Sleep(pauses * min(worked, mostWork))
		f.since = time.Now()
	default:
		f.since = now
	}
	return n, err
}
