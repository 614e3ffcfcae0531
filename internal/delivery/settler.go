package delivery

import (
	"context"
	"sync"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// maxChanges bounds the changes that wait for the store. At the bound workers wait, which holds back pushes and acknowledgements, and Publish
// drops its changes to Pending, which the stale walk makes later.
const maxChanges = 1 << 16

// settleBatch bounds the changes in one commit, and so its latency.
const settleBatch = 4096

// unknownBatch bounds the changes in one commit about messages that their session does not know. Each costs a search of the store, and most ids
// of a phone that sends many are of no message.
const unknownBatch = 256

// maxUnknown bounds the waiting changes of that kind, with a share per recipient. At the bound their calls fail with ErrBusy.
const maxUnknown = 1 << 15

// settler commits the changes of all sessions in batches: those that arrive during one commit form the next batch.
type settler struct {
	store  esh3ar.Settler
	shares *fairshare.Pool[esh3ar.Recipient] // changes in the queue of unknown ids
	mu     struct {
		sync.Mutex
		waiting []settleJob  // queue of settlements without unknown ids
		changes int          // cost of waiting
		slow    unknownQueue // settlements of unknown ids
		closed  bool
	}
	filled sync.Cond // signaled when a job was added or the settler was closed
	room   sync.Cond // signaled when a batch was removed from waiting
}

// settleJob is the settlement of one session, or changes without a session.
type settleJob struct {
	session *Session
	settlement
}

func newSettler(st esh3ar.Settler) *settler {
	q := &settler{store: st, shares: fairshare.New[esh3ar.Recipient](fairshare.Options{
		Name: "slow_acknowledgements", Total: maxUnknown, Guaranteed: unknownBurst,
	})}
	q.filled.L, q.room.L = &q.mu, &q.mu
	return q
}

// put queues a settlement and waits while the queue is full. The result is posted to the session, if it needs it.
func (q *settler) put(s *Session, st *settlement) {
	q.mu.Lock()
	for q.mu.changes >= maxChanges {
		q.room.Wait()
	}
	q.addLocked(settleJob{s, *st})
	q.mu.Unlock()
	q.filled.Signal()
}

// putUnknown queues a settlement of messages that its session does not know. It reports whether the recipient's share has room.
func (q *settler) putUnknown(s *Session, st *settlement) bool {
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

// offer queues changes that may be lost, and reports whether there was room.
func (q *settler) offer(changes []esh3ar.Change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.changes >= maxChanges {
		return false
	}
	q.addLocked(settleJob{settlement: settlement{changes: changes}})
	q.filled.Signal()
	return true
}

// busy reports whether the queue is at least half full.
func (q *settler) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.changes >= maxChanges/2
}

// addLocked adds a job to waiting. The caller holds q.mu.
func (q *settler) addLocked(job settleJob) {
	q.mu.waiting = append(q.mu.waiting, job)
	q.mu.changes += job.cost()
}

// cost returns the number of changes that a job counts as: at least one, because a job may only wait for those before it.
func (j *settleJob) cost() int { return max(1, len(j.changes)) }

// close makes run return after the waiting jobs are committed.
func (q *settler) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.filled.Signal()
}

// run commits batches until the settler is closed and empty.
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

// answer posts the result to the session, unless it has no use for it.
func (j *settleJob) answer(results []esh3ar.Settled, err error) {
	if j.session == nil || j.ticket.kind == sentTicket {
		return
	}
	j.session.post(event{kind: settledEvent, result: &result{ticket: j.ticket, settled: results, err: err}})
}

// next waits for jobs and returns a batch of them; none if the settler is closed and empty.
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
	return q.mu.slow.take(jobs, unknownBatch)
}
