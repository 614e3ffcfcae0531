package flow

import "time"

// Backoff is an exponential delay with jitter.
type Backoff struct {
	Base time.Duration // delay before the first retry, without jitter
	Cap  time.Duration // longest delay
}

// Delay returns the delay before retry k (1, 2, …). With d = min(Cap, Base·2^(k−1)) it is half of d plus a random part of the other half.
// random returns a number in [0, n).
func (b Backoff) Delay(k int, random func(n int64) int64) time.Duration {
	d := b.Cap
	if b.Base < b.Cap>>(k-1) { // shift Cap down instead of Base up, which may overflow
		d = b.Base << (k - 1)
	}
	half := d / 2
	if half <= 0 {
		return d
	}
	return half + time.Duration(random(int64(half)))
}
