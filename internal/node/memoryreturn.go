package node

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// largeRelease is the decrease of memory held by large bodies, in bytes, after which the node returns memory to the system.
	largeRelease = 64 << 20
	// returnInterval is the shortest time between two returns, since each runs a whole garbage collection.
	returnInterval = 10 * time.Second
)

// memoryReturn returns memory to the system after large bodies have released it. Without it the heap keeps the size of a peak until the
// next garbage collection, which on an idle node may be two minutes away: the collector waits for the heap to grow by as much as was
// in use during the peak.
type memoryReturn struct {
	peak int64     // highest use since the last return, in bytes
	last time.Time // of the last return
}

// due reports whether memory is to be returned now; inUse is what large bodies hold, in bytes.
func (r *memoryReturn) due(now time.Time, inUse int64) bool {
	r.peak = max(r.peak, inUse)
	if r.peak-inUse < largeRelease || now.Sub(r.last) < returnInterval {
		return false
	}
	r.peak, r.last = inUse, now
	return true
}

// returnMemory watches the memory of large bodies until ctx ends.
func (n *node) returnMemory(ctx context.Context) error {
	var r memoryReturn
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if r.due(now, n.largeBodies()) {
				debug.FreeOSMemory()
			}
		}
	}
}
