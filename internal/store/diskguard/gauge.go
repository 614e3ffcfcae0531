package diskguard

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
)

// Gauge reports whether the volume is too full for new messages. It queries the file system once a second, and earlier if
// enough was written since to change the answer. It logs when the reserve is reached and when it is free again.
type Gauge struct {
	FS      vfs.FS
	Now     func() time.Time // required
	Dir     string           // a directory on the volume
	Reserve Reserve          // zero: the default rule
	Log     *slog.Logger     // nil: no log

	mu struct {
		sync.Mutex
		queriedAt time.Time // time of the last query
		space     Space
		full      error  // nil unless space.Full
		written   uint64 // bytes written since the last query
	}
}

// Space is the state of a volume at its last query.
type Space struct {
	Known   bool   // whether the file system could report it
	Free    uint64 // bytes available to this process
	Total   uint64 // bytes
	Reserve uint64 // bytes kept free of new messages
	Full    bool   // whether the reserve is reached and new messages are rejected
}

// Err returns the reason why messages are rejected, for an operator; nil if they are accepted.
func (s Space) Err() error {
	if !s.Full {
		return nil
	}
	return esh3ar.Errorf(esh3ar.StorageFull, "the disk of the data directory is nearly full: %s are free and %s are reserved (--disk-reserve); free some space", Size(s.Free), Size(s.Reserve))
}

// Check returns a StorageFull error while the free space is below the reserve. Otherwise the caller may write size bytes. If
// the file system cannot report its space, Check returns nil; an ENOSPC then sets the fault.
func (g *Gauge) Check(size int) error {
	_, err := g.measure(uint64(size))
	return err
}

// Space returns the state of the volume, at most a second old.
func (g *Gauge) Space() Space {
	space, _ := g.measure(0)
	return space
}

// stepDivisor is the fraction of the reserve after whose writing the file system is queried again. Data is written more than
// once, to the WAL and to tables, and the query must come before the reserve is used up.
const stepDivisor = 16

// measure adds size to the bytes written, and queries the file system if the last result is stale.
func (g *Gauge) measure(size uint64) (Space, error) {
	g.mu.Lock()
	was := g.mu.space.Full
	now := g.Now()
	g.mu.written += size
	stale := g.mu.space.Known && g.mu.written > g.mu.space.Reserve/stepDivisor && !was
	// A negative duration means that the clock was set back.
	if since := now.Sub(g.mu.queriedAt); stale || since >= time.Second || since < 0 {
		g.mu.queriedAt, g.mu.written = now, 0
		g.mu.space = g.query(was)
		g.mu.full = fullError(g.mu.space)
	}
	space, err := g.mu.space, g.mu.full
	g.mu.Unlock()
	if space.Full != was {
		g.report(space)
	}
	return space, err
}

// hysteresisDivisor is the fraction of the reserve that must be free in addition before messages are accepted again. This
// hysteresis keeps a volume near its reserve from changing its state every second.
const hysteresisDivisor = 16

func (g *Gauge) query(full bool) Space {
	usage, err := g.FS.GetDiskUsage(g.Dir)
	if err != nil {
		return Space{}
	}
	space := Space{Known: true, Free: usage.AvailBytes, Total: usage.TotalBytes, Reserve: g.Reserve.Of(usage.TotalBytes)}
	least := space.Reserve
	if full {
		least += space.Reserve / hysteresisDivisor
	}
	space.Full = space.Free < least
	return space
}

func fullError(space Space) error {
	if !space.Full {
		return nil
	}
	return &esh3ar.Error{
		Code: esh3ar.StorageFull, RetryAfter: 10 * time.Second,
		Text: "the disk is nearly full: free some space, then messages are accepted again",
	}
}

func (g *Gauge) report(space Space) {
	if g.Log == nil {
		return
	}
	if space.Full {
		g.Log.Error("the disk is nearly full; new messages are rejected until some space is free", "dir", g.Dir, "free", Size(space.Free),
			"reserve", Size(space.Reserve), "volume", Size(space.Total))
		return
	}
	g.Log.Info("the disk has room again; new messages are accepted", "dir", g.Dir, "free", Size(space.Free), "reserve", Size(space.Reserve))
}
