package delivery

import (
	"context"
	"sync"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// settlerLimit bounds the changes that wait for the store. Beyond it workers wait, which holds back pushes and
// acknowledgements alike, and Publish drops its pending statuses, which the stale walk repairs.
const settlerLimit = 1 << 16

// settleBatch bounds one commit, so that its latency stays that of a commit.
const settleBatch = 4096

// slowBatch bounds the changes of one commit that name messages their session does not know. What such an id costs is
// a search of the store, and most are of no message at all when a phone sends many.
const slowBatch = 256

// slowLimit bounds the changes of that kind that wait, with a share per recipient. Beyond it their calls fail with ErrBusy.
const slowLimit = 1 << 15

// settler gathers the changes of all sessions while the last batch is being committed.
type settler struct {
	store  esh3ar.Settler
	shares *fairshare.Pool[esh3ar.Recipient] // of the slow line, in changes
	mu     struct {
		sync.Mutex
		waiting []settleJob
		changes int
		slow    slowLine
		closed  bool
	}
	filled sync.Cond
	room   sync.Cond
}

// settleJob is one session's settlement, or changes of nobody.
type settleJob struct {
	session *Session
	settlement
}

func newSettler(st esh3ar.Settler) *settler {
	q := &settler{store: st, shares: fairshare.New[esh3ar.Recipient](fairshare.Options{
		Name: "slow_acknowledgements", Total: slowLimit, Guaranteed: unknownBurst,
	})}
	q.filled.L, q.room.L = &q.mu, &q.mu
	return q
}

// put queues a settlement, waiting for room; its result comes back to the session unless nobody waits for it.
func (q *settler) put(s *Session, st *settlement) {
	q.mu.Lock()
	for q.mu.changes >= settlerLimit {
		q.room.Wait()
	}
	q.addLocked(settleJob{s, *st})
	q.mu.Unlock()
	q.filled.Signal()
}

// putSlow queues a settlement of messages that its session does not know; false: the recipient has its share of what may
// wait.
func (q *settler) putSlow(s *Session, st *settlement) bool {
	r := s.step.recipient
	if q.shares.TryAcquire(r, int64(len(st.changes))) != nil {
		return false
	}
	q.mu.Lock()
	q.mu.slow.add(r, settleJob{s, *st})
	q.mu.Unlock()
	q.filled.Signal()
	return true
}

// offer queues changes that may be lost, if there is room.
func (q *settler) offer(changes []esh3ar.Change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.changes >= settlerLimit {
		return false
	}
	q.addLocked(settleJob{settlement: settlement{changes: changes}})
	q.filled.Signal()
	return true
}

// busy tells that there is enough to do without what can wait.
func (q *settler) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.changes >= settlerLimit/2
}

func (q *settler) addLocked(job settleJob) {
	q.mu.waiting = append(q.mu.waiting, job)
	q.mu.changes += job.cost()
}

// cost is what a job counts in the bounds; one that only waits for those before it has no changes.
func (j *settleJob) cost() int { return max(1, len(j.changes)) }

func (q *settler) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.filled.Signal()
}

// run commits batch after batch until the settler is closed and empty.
func (q *settler) run(ctx context.Context) {
	var changes []esh3ar.Change
	for {
		jobs := q.next()
		if len(jobs) == 0 {
			return
		}
		changes = changes[:0]
		for i := range jobs {
			changes = append(changes, jobs[i].changes...)
		}
		var results []esh3ar.Settled
		var err error
		if len(changes) > 0 {
			results, err = q.store.Settle(ctx, changes)
		}
		for i := range jobs {
			job, own := &jobs[i], []esh3ar.Settled(nil)
			if job.unknown > 0 {
				q.shares.Release(job.session.step.recipient, int64(len(job.changes)))
			}
			if err == nil {
				own, results = results[:len(job.changes)], results[len(job.changes):]
			}
			job.answer(own, err)
		}
		clear(changes)
	}
}

// answer returns the result to whoever waits for it.
func (j *settleJob) answer(results []esh3ar.Settled, err error) {
	if j.session == nil || j.ticket.kind == sentTicket {
		return
	}
	j.session.post(event{kind: settledEvent, result: &result{ticket: j.ticket, settled: results, err: err}})
}

// next waits for jobs and takes a batch of them.
func (q *settler) next() []settleJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.mu.waiting) == 0 && q.mu.slow.jobs == 0 {
		if q.mu.closed {
			return nil
		}
		q.filled.Wait()
	}
	n, changes := 0, 0
	for n < len(q.mu.waiting) && (n == 0 || changes+q.mu.waiting[n].cost() <= settleBatch) {
		changes += q.mu.waiting[n].cost()
		n++
	}
	jobs := append([]settleJob(nil), q.mu.waiting[:n]...)
	rest := copy(q.mu.waiting, q.mu.waiting[n:])
	clear(q.mu.waiting[rest:])
	q.mu.waiting = q.mu.waiting[:rest]
	q.mu.changes -= changes
	q.room.Broadcast()
	return q.mu.slow.take(jobs, slowBatch)
}
