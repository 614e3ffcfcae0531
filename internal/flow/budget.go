package flow

import "time"

// budgetWindow is how far back a Budget remembers, in seconds.
const budgetWindow = 10

// Budget bounds repeats to a share of the calls of the last ten seconds, and some more so that a quiet system may repeat
// as well. Without one, a system that fails because it is full is given its load once more.
type Budget struct {
	Share   float64 // repeats for each call
	Reserve int     // repeats in ten seconds whatever the calls are

	seconds [budgetWindow]struct{ at, calls, repeats int64 }
}

// Called notes a call.
func (b *Budget) Called(now time.Time) { b.second(now).calls++ }

// Spend takes a repeat, or tells that there is none left.
func (b *Budget) Spend(now time.Time) bool {
	if b.Left(now) < 1 {
		return false
	}
	b.second(now).repeats++
	return true
}

// Left is how many repeats there are.
func (b *Budget) Left(now time.Time) float64 {
	left := float64(b.Reserve)
	for _, s := range b.seconds {
		if s.at > now.Unix()-budgetWindow {
			left += b.Share*float64(s.calls) - float64(s.repeats)
		}
	}
	return left
}

func (b *Budget) second(now time.Time) *struct{ at, calls, repeats int64 } {
	unix := now.Unix()
	s := &b.seconds[unix%budgetWindow]
	if s.at != unix {
		*s = struct{ at, calls, repeats int64 }{at: unix}
	}
	return s
}
