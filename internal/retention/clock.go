package retention

import "time"

// If the clock jumps ahead, everything looks old, and deleted data does not come back when the clock is corrected. So after a jump
// nothing is deleted for a while, in which an operator can see the warning and correct the clock. A clock that was already wrong at
// the start cannot be told from a node that was off for long.
const (
	jump = time.Minute // smallest jump: wall clock ahead of the monotonic clock, between two rounds
	hold = time.Hour   // how long nothing is deleted after a jump
)

// clockJumped compares the clocks with those of the last round. It reports whether deletion is paused.
func (j *Janitor) clockJumped(now time.Time) (held bool) {
	wall := now.Round(0)   // without the monotonic part
	if !j.round.IsZero() { // strip the monotonic reading
		if ahead := wall.Sub(j.wall) - now.Sub(j.round); ahead > jump {
			j.pausedUntil = now.Add(hold)
			j.opts.Log.Warn("the clock jumped ahead: nothing is deleted for an hour; set it right if it is wrong", "by", ahead)
		}
	}
	j.wall, j.round = wall, now
	return now.Before(j.pausedUntil)
}
