package flow

import (
	"math"
	"time"
)

// Quota is a rate with a burst, counted by the generic cell rate algorithm (GCRA): a bucket of Burst units that refills by one
// each Interval. All of a bucket's state is one number, the moment at which it will be full again, so that a bucket can be
// an atomic word, and taking from it a compare-and-swap.
type Quota struct {
	Interval time.Duration // in which one unit comes back; at least 1 ns
	Burst    int           // units of a full bucket; at least 1
}

// QuotaOf is a quota of so many units per second. The interval is rounded up: never more than the rate, and less by a
// ten-thousandth at most, up to 100,000 per second.
func QuotaOf(rate float64, burst int) Quota {
	interval := math.Ceil(float64(time.Second) / rate)
	return Quota{Interval: time.Duration(max(1, min(interval, float64(maxInterval)))), Burst: max(1, burst)}
}

// maxInterval keeps a million units of the slowest quota from overflowing; it is nearly twenty minutes.
const maxInterval = math.MaxInt64 / (8 * 1_000_000)

// Share is the part of one of so many nodes that cannot ask each other. Nobody's share is nothing: a burst below the number
// of nodes is exceeded.
func (q Quota) Share(nodes int) Quota {
	n := max(1, nodes)
	return Quota{Interval: min(q.Interval, maxInterval/time.Duration(n)) * time.Duration(n), Burst: max(1, q.Burst/n)}
}

// Taken is the word on one Take.
type Taken struct {
	Allowed    bool
	Full       int64         // the bucket's new state
	Remaining  int           // what it would still give now
	RetryAfter time.Duration // when so much will be there; zero where allowed
	Reset      time.Duration // when it will be full
}

// Take asks for n units of a bucket in state full at the time now, both in nanoseconds from any one moment; a new bucket has
// the state 0. What is not allowed changes nothing; n may be 0, to look. More than the burst is given by a full bucket only,
// and is then owed. The clock must not go back.
func (q Quota) Take(full, now int64, n int) Taken {
	whole := q.Burst * int(q.Interval)
	room := max(whole, n*int(q.Interval))
	full = max(now, full)
	after := full + int64(n)*int64(q.Interval)
	t := Taken{Allowed: true, Full: after}
	if early := after - int64(room) - now; early > 0 {
		t.Allowed, t.Full, t.RetryAfter = false, full, time.Duration(early)
	}
	t.Reset = time.Duration(t.Full - now)
	t.Remaining = max(0, (whole-int(t.Reset))/int(q.Interval))
	return t
}

// Fit makes a state of this quota of one of another: what is missing from the bucket stays missing, unit by unit, as far as
// there is room for it. So a larger plan is of use at once, and a faster one does not wait for what was emptied slowly.
func (q Quota) Fit(before Quota, full, now int64) int64 {
	missing := (max(full, now) - now + int64(before.Interval) - 1) / int64(before.Interval)
	return now + min(missing, int64(q.Burst))*int64(q.Interval)
}
