// Package flow holds the pure arithmetic of pacing: here, how long to wait before trying again. It knows no clock and no
// randomness of its own.
package flow

import "time"

// Backoff is an exponential delay with jitter.
type Backoff struct {
	Base     time.Duration // before the first repeat
	Cap      time.Duration // the longest delay
	Attempts int           // tries after which every further delay is the longest
}

// Delay is the pause before repeat k (1, 2, …): half of d and a random part of the other half, with d = min(Cap,
// Base·2^(k−1)). random gives a number in [0, n).
func (b Backoff) Delay(k int, random func(n int64) int64) time.Duration {
	d := b.Cap
	if k < b.Attempts {
		d = min(b.Cap, b.Base<<min(k-1, 30)) // 2^30 times any base is beyond every cap
	}
	half := d / 2
	if half <= 0 {
		return d
	}
	return half + time.Duration(random(int64(half)))
}
