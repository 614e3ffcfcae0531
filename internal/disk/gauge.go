package disk

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
)

// The free space that appends leave alone: compactions, settles and the operator need room to breathe.
const (
	minFreeBytes   = 1 << 30
	minFreeDivisor = 20 // 5 % of the disk
)

// Gauge tells whether the disk is too full for new messages. It asks the file system once a second at most.
type Gauge struct {
	FS  vfs.FS
	Now func() time.Time
	Dir string
	Min uint64 // bytes; zero: the default rule

	mu struct {
		sync.Mutex
		asked time.Time
		full  error
	}
}

// Check answers StorageFull when the free space is below its minimum. A file system that cannot tell counts as roomy:
// then ENOSPC itself is the answer, and stops the process.
func (g *Gauge) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	if since := now.Sub(g.mu.asked); since >= time.Second || since < 0 { // below zero: the clock was set back
		g.mu.asked, g.mu.full = now, g.ask()
	}
	return g.mu.full
}

func (g *Gauge) ask() error {
	usage, err := g.FS.GetDiskUsage(g.Dir)
	if err != nil {
		return nil
	}
	least := g.Min
	if least == 0 {
		least = max(minFreeBytes, usage.TotalBytes/minFreeDivisor)
	}
	if usage.AvailBytes >= least {
		return nil
	}
	return &esh3ar.Error{
		Code: esh3ar.StorageFull, RetryAfter: 10 * time.Second,
		Text: "the disk is nearly full: free some space, messages are taken again by themselves",
	}
}
