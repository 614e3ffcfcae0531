package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// A phone may acknowledge any message of its user, including one that another connection received or one of an earlier day.
// A session knows only the messages that it pushed itself. Each other id costs a lookup in the store, and a phone can send
// many ids that name no message. Such acknowledgements have a path of their own, with four bounds: a rate per recipient, a
// share of the queue per recipient, few changes per commit, and round-robin service of the recipients. So a phone that
// sends invented ids delays only its own calls.

// Rate limit of unknown ids, per recipient and node.
const (
	unknownRate  = 200  // ids per second: a page of history read every second
	unknownBurst = 1000 // ids at once: two calls of the largest size
)

// maxPenalty is the longest time for which the connections of a recipient that exceeded the rate are not read.
const maxPenalty = 5 * time.Second

// unknownQueue holds settlements in one queue per recipient and serves the recipients in turn. It is guarded by the
// settler's mutex. The settler bounds its size.
type unknownQueue struct {
	of    map[esh3ar.Recipient][]settleJob // queues, none of them empty
	turns []esh3ar.Recipient               // recipients with a queue, in the order of service
	jobs  int                              // length of all queues together
}

// add appends a job to the queue of a recipient.
func (l *unknownQueue) add(r esh3ar.Recipient, job settleJob) {
	if l.of == nil {
		l.of = map[esh3ar.Recipient][]settleJob{}
	}
	if len(l.of[r]) == 0 {
		l.turns = append(l.turns, r)
	}
	l.of[r] = append(l.of[r], job)
	l.jobs++
}

// take removes jobs of about the given number of changes, one per recipient in turn, and appends them to jobs. The last
// job may exceed the number.
func (l *unknownQueue) take(jobs []settleJob, changes int) []settleJob {
	for changes > 0 && l.jobs > 0 {
		r := l.turns[0]
		l.turns = l.turns[1:]
		queue := l.of[r]
		jobs = append(jobs, queue[0])
		changes -= queue[0].cost()
		l.jobs--
		if queue = queue[1:]; len(queue) > 0 {
			l.of[r] = queue
			l.turns = append(l.turns, r)
		} else {
			delete(l.of, r)
		}
	}
	return jobs
}

// ackRates is the rate limiter of unknown ids: one token bucket per recipient. The entry of a recipient may be dropped when
// its bucket is full again and its penalty is over.
type ackRates struct {
	quota   flow.Quota
	begun   time.Time     // origin of all times below
	refused atomic.Uint64 // settlements that exceeded the rate
	until   atomic.Int64  // end of the last penalty, in nanoseconds since begun; after it, penalty does not take the lock
	mu      struct {
		sync.Mutex
		of      map[esh3ar.Recipient]ackRate
		sweepAt int // number of entries at which expired ones are dropped
	}
}

// ackRate is the token bucket of one recipient. Times are nanoseconds since ackRates.begun.
type ackRate struct {
	full    int64 // when the bucket is full again
	penalty int64 // end of the time in which the recipient's connections are not read; zero: none
}

// minRates is the number of entries below which expired ones are not searched for.
const minRates = 1024

func newAckRates(now time.Time) *ackRates {
	r := &ackRates{quota: flow.NewQuota(unknownRate, unknownBurst), begun: now}
	r.mu.of, r.mu.sweepAt = map[esh3ar.Recipient]ackRate{}, minRates
	return r
}

// take takes n tokens from the bucket of a recipient. It returns false, and sets a penalty, if the recipient exceeds the rate.
func (r *ackRates) take(recipient esh3ar.Recipient, n int, at time.Time) bool {
	now := int64(at.Sub(r.begun))
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.mu.of[recipient]
	taken := r.quota.Take(one.full, now, n)
	one.full = taken.Full
	if !taken.Allowed {
		r.refused.Add(1)
		one.penalty = now + int64(min(taken.RetryAfter, maxPenalty))
		if one.penalty > r.until.Load() {
			r.until.Store(one.penalty)
		}
	}
	r.mu.of[recipient] = one
	r.forgetLocked(now)
	return taken.Allowed
}

// penalty returns the time for which a connection of the recipient should not be read; zero if there is no penalty.
func (r *ackRates) penalty(recipient esh3ar.Recipient, at time.Time) time.Duration {
	now := int64(at.Sub(r.begun))
	if r.until.Load() <= now {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(max(0, r.mu.of[recipient].penalty-now))
}

// forgetLocked drops the expired entries when their number has doubled since the last time, so the cost per call is constant
// on average. The caller holds r.mu.
func (r *ackRates) forgetLocked(now int64) {
	if len(r.mu.of) < r.mu.sweepAt {
		return
	}
	for recipient, one := range r.mu.of {
		if one.full <= now && one.penalty <= now {
			delete(r.mu.of, recipient)
		}
	}
	r.mu.sweepAt = max(minRates, 2*len(r.mu.of))
}

// settle passes a settlement to the settler. If it contains unknown ids and exceeds the rate or the share of the recipient,
// it fails at once, and its call returns ErrBusy.
func (e *Engine) settle(s *Session, st *settlement) {
	if st.unknown == 0 {
		e.settler.put(s, st)
		return
	}
	if e.ackRates.take(s.step.recipient, st.unknown, time.Now()) && e.settler.putUnknown(s, st) {
		return
	}
	s.post(event{kind: settledEvent, result: &result{ticket: st.ticket, err: ErrBusy}})
}

// Penalty returns the time for which the connection should not be read because its recipient acknowledged too many unknown
// messages. It is zero if there is no penalty, and at most 5 seconds. A caller that waits for it before it reads the next
// call delays that connection only.
func (s *Session) Penalty() time.Duration {
	return s.engine.ackRates.penalty(s.step.recipient, time.Now())
}
