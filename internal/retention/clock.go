package retention

import "time"

// A clock that jumps ahead makes everything look old, and what is deleted does not come back when the clock does. So after
// a jump nothing is deleted for a while, in which whoever looks after the clock can see the line in the log and set it
// right. A clock that was wrong before the start cannot be told from a node that was off for long.
const (
	jump = time.Minute // ahead of the monotonic clock, between two rounds
	hold = time.Hour   // how long nothing is deleted then
)

// clockJumped compares the clocks with those of the last round; true says that nothing may be deleted now.
func (j *Janitor) clockJumped(now time.Time) (held bool) {
	wall := now.Round(0) // without the monotonic part
	if !j.round.IsZero() {
		if ahead := wall.Sub(j.wall) - now.Sub(j.round); ahead > jump {
			j.pausedUntil = now.Add(hold)
			j.opts.Log.Warn("the clock jumped ahead: nothing is deleted for an hour; set it right if it is wrong", "by", ahead)
		}
	}
	j.wall, j.round = wall, now
	return now.Before(j.pausedUntil)
}
