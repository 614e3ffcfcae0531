package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// A phone may acknowledge any message of its user: one that another connection received, or one of yesterday. Its session
// knows only what it pushed itself. The other ids cost a search of the store each, and most of a large number of them
// name no message. They go a way of their own: a rate per recipient, a share per recipient of what may wait, few changes
// per commit, and recipients in turn. So a phone that sends made-up ids delays its own calls and no others.

// The rate of acknowledgements per recipient, on one node, that name messages their session does not know.
const (
	unknownRate  = 200  // ids per second: a page of history read every second
	unknownBurst = 1000 // ids at once: two calls of the largest size
)

// maxPenalty bounds how long a connection whose recipient exceeded the rate is not read.
const maxPenalty = 5 * time.Second

// unknownQueue holds settlements in one queue per recipient. The settler's mutex guards it.
type unknownQueue struct {
	of    map[esh3ar.Recipient][]settleJob
	turns []esh3ar.Recipient // with a queue, the next one first
	jobs  int
}

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

// take appends jobs of about so many changes, one of each recipient in turn.
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

// ackRates hold recipients to the rate of ids that their sessions do not know. A recipient that stays below the rate is
// forgotten when its bucket is full again.
type ackRates struct {
	quota   flow.Quota
	begun   time.Time
	refused atomic.Uint64
	until   atomic.Int64 // the end of the last penalty; until then connections look theirs up
	mu      struct {
		sync.Mutex
		of      map[esh3ar.Recipient]ackRate
		sweepAt int // entries at which those that say nothing any more are dropped
	}
}

// ackRate is one recipient's, in nanoseconds since the beginning.
type ackRate struct {
	full    int64 // when the bucket is full again
	penalty int64 // until when its connections are not read; zero: none
}

// minRates is the number of entries that are kept without a look at them.
const minRates = 1024

func newAckRates(now time.Time) *ackRates {
	r := &ackRates{quota: flow.NewQuota(unknownRate, unknownBurst), begun: now}
	r.mu.of, r.mu.sweepAt = map[esh3ar.Recipient]ackRate{}, minRates
	return r
}

// take takes n ids from a recipient's bucket; false: it exceeds the rate, and penalty says how long it is to wait.
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

// penalty returns how long a connection of the recipient is not to be read; zero as a rule.
func (r *ackRates) penalty(recipient esh3ar.Recipient, at time.Time) time.Duration {
	now := int64(at.Sub(r.begun))
	if r.until.Load() <= now {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(max(0, r.mu.of[recipient].penalty-now))
}

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

// settle hands a settlement to the settler. One of messages that the session does not know may exceed the recipient's
// rate or share: it fails at once, and the call with it.
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

// Penalty returns how long the connection should not be read because its recipient acknowledged too many unknown
// messages: zero as a rule, and at most 5 seconds. A caller that waits so long before its next call holds up that
// connection alone.
func (s *Session) Penalty() time.Duration {
	return s.engine.ackRates.penalty(s.step.recipient, time.Now())
}
