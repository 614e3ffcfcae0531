package admission

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// levelReservation remembers which levels are in use. If the limit is reached, a new call waits until another one is released, whatever
// its level. So a level leaves half of the limit to the levels above it that are in use (trunk reservation, as in telephone networks).
// If all calls are of one level nothing is reserved: it would cost throughput and gain nothing.
type levelReservation struct {
	seen [esh3ar.Levels]time.Time // arrival of the last call of each level; zero if there was none
}

// reservedFor is the time for which a level counts as in use after its last call.
const reservedFor = time.Second

func (r *levelReservation) observe(level esh3ar.Level, now time.Time) { r.seen[level] = now }

// competition reports whether other levels than this one are in use, and whether a higher one is.
func (r *levelReservation) competition(level esh3ar.Level, now time.Time) (others, higher bool) {
	for l, seen := range r.seen {
		other := esh3ar.Level(l)
		if other == level || now.Sub(seen) >= reservedFor {
			continue
		}
		others = true
		if other > level {
			higher = true
		}
	}
	return others, higher
}
