package ingest

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

// crowded is how many may wait for each processor before calls wait at the door, an eighth of a millisecond of turns. With sixteen the
// highest level was answered half as fast again at the 99th percentile, with three the goodput fell below nine tenths (bench --overload).
const crowded = 6

func (c *crowd) is(now time.Time) bool {
	if now.Sub(c.asked) >= crowdEvery {
		c.asked, c.yes = now, c.runnable() > crowded
	}
	return c.yes
}
