package diskguard

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pace slows down the writing of tables while goroutines wait for a CPU. A flush or compaction computes for up to half a
// second without blocking, in time slices of 10 ms, the longest that Go's scheduler grants; other goroutines use about 20 µs
// at a time. On two CPUs it takes half of the capacity for calls. Pace therefore pauses between writes, for twice the time
// worked. The work then takes three times as long, which is affordable: tables are written for about a tenth of the time. If
// background work falls behind, appends wait for it, no goroutine waits for a CPU, and the pauses end.
type Pace struct {
	vfs.FS
	CPUContended func() bool // reports whether goroutines wait for a CPU; safe for concurrent use
}

var _ vfs.FS = Pace{}

// Create implements vfs.FS.
func (p Pace) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &pacedFile{File: f, cpuContended: p.CPUContended}, nil
}

// Unwrap implements vfs.FS.
func (p Pace) Unwrap() vfs.FS { return p.FS }

// pacedFile is a table being written.
type pacedFile struct {
	vfs.File
	cpuContended func() bool
	since        time.Time // end of the last pause or write; zero before the first write
}

// Bounds of the work between pauses. Shorter pauses would be timer overhead only. A longer time was not all work: the
// goroutine waited for the disk or for a CPU.
const (
	minWork     = 500 * time.Microsecond // no pause before this much work
	maxWork     = 2 * time.Millisecond   // most work that is paid for by a pause
	pauseFactor = 2                      // length of a pause, in multiples of the work
)

// Write implements vfs.File.
func (f *pacedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	now := time.Now()
	worked := now.Sub(f.since)
	if f.since.IsZero() {
		f.since = now
		return n, err
	}
	if worked < minWork {
		return n, err
	}
	if f.cpuContended() {
		time.Sleep(pauseFactor * min(worked, maxWork))
		now = time.Now()
	}
	f.since = now
	return n, err
}
