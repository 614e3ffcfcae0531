package flow

import (
	"math"
	"time"
)

// Quota is a rate with a burst, measured by the generic cell rate algorithm (GCRA): a bucket of Burst units that is refilled by one unit
// each Interval. The state of a bucket is one number, the time at which it is full again. So a bucket can be an atomic word, and taking
// from it a compare-and-swap.
type Quota struct {
	Interval time.Duration // time in which one unit is refilled; at least 1 ns
	Burst    int           // units in a full bucket; at least 1
}

// NewQuota returns a quota of rate units per second. The interval is rounded up, so the quota is never above the rate. Up to 100,000 units
// per second it is at most a ten-thousandth below.
func NewQuota(rate float64, burst int) Quota {
	interval := math.Ceil(float64(time.Second) / rate)
	return Quota{Interval: time.Duration(max(1, min(interval, float64(maxInterval)))), Burst: max(1, burst)}
}

// maxInterval is nearly twenty minutes. A million units of a quota with this interval do not overflow.
const maxInterval = math.MaxInt64 / (8 * 1_000_000)

// Share returns the quota of one of several nodes that cannot reach each other. A share is never zero, so a burst below the number of nodes
// is exceeded.
func (q Quota) Share(nodes int) Quota {
	n := max(1, nodes)
	return Quota{Interval: min(q.Interval, maxInterval/time.Duration(n)) * time.Duration(n), Burst: max(1, q.Burst/n)}
}

// Decision is the result of a Take.
type Decision struct {
	Allowed    bool
	Full       int64         // new state of the bucket
	Remaining  int           // units that are left now
	RetryAfter time.Duration // time until the units are available; zero if allowed
	Reset      time.Duration // time until the bucket is full
}

// Take takes n units from a bucket in the state full at the time now. Both are in nanoseconds since the same origin; a new bucket has the
// state 0. If the units are not available, the state does not change. n may be 0, to read the bucket. A full bucket allows more than the
// burst, and is then in debt. now must not decrease.
func (q Quota) Take(full, now int64, n int) Decision {
	capacity := q.Burst * int(q.Interval)     // time to refill an empty bucket
	limit := max(capacity, n*int(q.Interval)) // the same, for a call above the burst
	full = max(now, full)
	after := full + int64(n)*int64(q.Interval)
	d := Decision{Allowed: true, Full: after}
	if early := after - int64(limit) - now; early > 0 {
		d = Decision{Full: full, RetryAfter: time.Duration(early)}
	}
	d.Reset = time.Duration(d.Full - now)
	d.Remaining = max(0, (capacity-int(d.Reset))/int(q.Interval))
	return d
}

// ConvertState converts the state of a bucket of another quota into one of this quota. The same number of units is missing afterwards, at
// most all. So a larger quota is available at once, and a faster one is refilled at its own rate.
func (q Quota) ConvertState(before Quota, full, now int64) int64 {
	missing := (max(full, now) - now + int64(before.Interval) - 1) / int64(before.Interval)
	return now + min(missing, int64(q.Burst))*int64(q.Interval)
}
