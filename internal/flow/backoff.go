package flow

import "time"

// Backoff is an exponential delay with jitter.
type Backoff struct {
	Base time.Duration // before the first repeat
	Cap  time.Duration // the longest delay
}

// Delay is the pause before repeat k (1, 2, …): half of d and a random part of the other half, with d = min(Cap,
// Base·2^(k−1)). random gives a number in [0, n).
func (b Backoff) Delay(k int, random func(n int64) int64) time.Duration {
	d := b.Cap
	if b.Base < b.Cap>>(k-1) { // compared from above: a shifted base may overflow
		d = b.Base << (k - 1)
	}
	half := d / 2
	if half <= 0 {
		return d
	}
	return half + time.Duration(random(int64(half)))
}
