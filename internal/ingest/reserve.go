package ingest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// reserve keeps room for the levels above: a call that comes while all room is taken waits for somebody to leave, whatever its level.
// So lower levels leave half of the room to the highest that was seen lately (trunk reservation, as telephone networks have it).
// Where all are of one level nothing is reserved: what is gained in time would be lost in calls. The intake's lock guards it.
type reserve struct {
	seen [esh3ar.Levels]time.Time // a call of the level, last
}

// reservedFor is how long room is kept after a call of another level.
const reservedFor = time.Second

func (r *reserve) saw(level esh3ar.Level, now time.Time) { r.seen[level] = now }

// others tells whether another level was seen lately, and whether a higher one was.
func (r *reserve) others(level esh3ar.Level, now time.Time) (some, higher bool) {
	for l, seen := range r.seen {
		if esh3ar.Level(l) != level && now.Sub(seen) < reservedFor {
			some, higher = true, higher || esh3ar.Level(l) > level
		}
	}
	return some, higher
}

// roomLocked is how many messages may be worked on for a call of that level to enter now. Where levels compete and there is a crowd it
// is half of the least, so that calls go on whatever the processors are busy with, and the others wait where they are in order.
func (in *Intake) roomLocked(level esh3ar.Level, now time.Time) int {
	competes, below := in.mu.reserve.others(level, now)
	room := in.mu.limit
	if competes && in.mu.crowd.is(now) {
		room = min(room, max(1, in.opts.MinInFlight/2))
	}
	if below {
		room = max(1, room/2)
	}
	return room
}
