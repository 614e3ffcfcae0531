package intake

import "time"

// crowd tells whether the machine has more to do than to take further calls: whether many goroutines wait for a processor. A call
// that is let in then is answered no sooner, and what waits at the door is in order, while what waits for a processor is not. The
// intake's lock guards it.
type crowd struct {
	runnable func() float64 // goroutines that wait, for each processor
	asked    time.Time
	yes      bool
}

// crowdEvery is how old an answer may be: ten turns of a processor.
const crowdEvery = 200 * time.Microsecond

// crowded is how many may wait for each processor before calls wait at the door: a turn takes some 20 µs, so it is a third of a
// millisecond that each of a call's turns comes later. Half of it and twice as many gave the same goodput.
const crowded = 16

func (c *crowd) is(now time.Time) bool {
	if now.Sub(c.asked) >= crowdEvery {
		c.asked, c.yes = now, c.runnable() > crowded
	}
	return c.yes
}

// roomLocked is how many messages may be worked on now. In a crowd it is half of the least, so that calls go on whatever the
// processors are busy with.
func (in *Intake) roomLocked(now time.Time) int {
	if in.mu.crowd.is(now) {
		return min(in.mu.limit, max(1, in.opts.MinAtOnce/2))
	}
	return in.mu.limit
}
