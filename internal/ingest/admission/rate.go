package admission

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// rateBurst is the time whose messages may be admitted at once.
const rateBurst = 50 * time.Millisecond

// rateLimit is the declared capacity of the node in messages per second. The zero value has no limit.
type rateLimit struct {
	quota flow.Quota // zero Interval if no capacity was declared
	epoch time.Time  // origin of the bucket's times
	full  int64      // state of the bucket: when it is full again, in nanoseconds since epoch
}

// newRateLimit returns a limit of perSecond messages; there is none if perSecond is zero.
func newRateLimit(perSecond float64, now time.Time) rateLimit {
	l := rateLimit{epoch: now}
	if perSecond > 0 {
		l.quota = flow.NewQuota(perSecond, int(perSecond*rateBurst.Seconds()))
	}
	return l
}

// take takes n messages from the bucket and reports whether they were there; if not, it takes nothing.
func (l *rateLimit) take(n int, now time.Time) bool {
	if l.quota.Interval == 0 {
		return true
	}
	taken := l.quota.Take(l.full, int64(now.Sub(l.epoch)), n)
	l.full = taken.Full
	return taken.Allowed
}
