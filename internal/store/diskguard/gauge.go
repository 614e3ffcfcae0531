package diskguard

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
)

// Gauge reports whether the volume is too full for new messages. It asks the file system once a second, and sooner where so
// much was written since that the answer may have changed. It logs when the reserve is reached and when it is left.
type Gauge struct {
	FS      vfs.FS
	Now     func() time.Time
	Dir     string
	Reserve Reserve
	Log     *slog.Logger

	mu struct {
		sync.Mutex
		asked time.Time
		space Space
		full  error
		wrote uint64 // bytes since it asked
	}
}

// Space is the room on a volume as it was last measured.
type Space struct {
	Known   bool   // whether the file system could report it
	Free    uint64 // bytes available to this process
	Total   uint64 // bytes
	Reserve uint64 // bytes that new messages leave free
	Full    bool   // whether the reserve is reached, so that new messages are refused
}

// Err returns why no message is taken, for an operator; nil if messages are taken.
func (s Space) Err() error {
	if !s.Full {
		return nil
	}
	return esh3ar.Errorf(esh3ar.StorageFull, "the disk of the data directory is nearly full: %s are free and %s are reserved (--disk-reserve); free some space", Size(s.Free), Size(s.Reserve))
}

// Check returns a StorageFull error while the free space is below the reserve; else the caller is about to write size bytes. A
// file system that cannot report its space counts as roomy: then ENOSPC itself is the answer, and stops the process.
func (g *Gauge) Check(size int) error {
	_, err := g.measure(uint64(size))
	return err
}

// Space returns the room on the volume, at most a second old.
func (g *Gauge) Space() Space {
	space, _ := g.measure(0)
	return space
}

// stepDivisor is the part of the reserve after which the file system is asked again. What is written goes to the disk more than
// once, into the WAL and into tables, and this happens before the reserve is used up.
const stepDivisor = 16

func (g *Gauge) measure(size uint64) (Space, error) {
	g.mu.Lock()
	was := g.mu.space.Full
	now := g.Now()
	g.mu.wrote += size
	stale := g.mu.space.Known && g.mu.wrote > g.mu.space.Reserve/stepDivisor && !was
	if since := now.Sub(g.mu.asked); stale || since >= time.Second || since < 0 { // below zero: the clock was set back
		g.mu.asked, g.mu.wrote = now, 0
		g.mu.space = g.ask(was)
		g.mu.full = refusal(g.mu.space)
	}
	space, err := g.mu.space, g.mu.full
	g.mu.Unlock()
	if space.Full != was {
		g.report(space)
	}
	return space, err
}

// leaveDivisor is the part of the reserve that has to be free above it before messages are taken again: a volume that hovers
// at its reserve must not change its state every second.
const leaveDivisor = 16

func (g *Gauge) ask(full bool) Space {
	usage, err := g.FS.GetDiskUsage(g.Dir)
	if err != nil {
		return Space{}
	}
	space := Space{Known: true, Free: usage.AvailBytes, Total: usage.TotalBytes, Reserve: g.Reserve.Of(usage.TotalBytes)}
	least := space.Reserve
	if full {
		least += space.Reserve / leaveDivisor
	}
	space.Full = space.Free < least
	return space
}

func refusal(space Space) error {
	if !space.Full {
		return nil
	}
	return &esh3ar.Error{
		Code: esh3ar.StorageFull, RetryAfter: 10 * time.Second,
		Text: "the disk is nearly full: free some space, messages are taken again by themselves",
	}
}

func (g *Gauge) report(space Space) {
	if g.Log == nil {
		return
	}
	if space.Full {
		g.Log.Error("the disk is nearly full; new messages are refused until some space is free", "dir", g.Dir, "free", Size(space.Free),
			"reserve", Size(space.Reserve), "volume", Size(space.Total))
		return
	}
	g.Log.Info("the disk has room again; new messages are taken", "dir", g.Dir, "free", Size(space.Free), "reserve", Size(space.Reserve))
}
