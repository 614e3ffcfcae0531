package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// request is one caller's work on its way through the committer.
type request struct {
	stage   func(*staging) error // adds the work to the batch; an error answers this request alone and adds nothing
	changes int                  // settles: how many; they wait for company
	done    chan struct{}        // closed after the commit
	err     error
}

func newRequest(stage func(*staging) error) *request {
	return &request{stage: stage, done: make(chan struct{})}
}

// queueLimit bounds the requests that wait. Intake has one append under way and the settler two, so only a flood
// of administration could fill it; callers then wait on their context.
const queueLimit = 1024

// queue gathers requests for the committer. Each holds a bounded batch already, so the number bounds the bytes.
type queue struct {
	gather time.Duration
	slots  chan struct{}
	wake   chan struct{} // capacity 1: a signal, not a count
	mu     struct {
		sync.Mutex
		waiting []*request
		urgent  int // of waiting: those that do not wait for company
		changes int
		since   time.Time // when the first of waiting came
		closed  bool
	}
}

func newQueue(gather time.Duration) *queue {
	return &queue{gather: gather, slots: make(chan struct{}, queueLimit), wake: make(chan struct{}, 1)}
}

func (q *queue) put(ctx context.Context, r *request) error {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return esh3ar.Errorf(esh3ar.Abandoned, "wait for the store: %w", context.Cause(ctx))
	}
	q.mu.Lock()
	if q.mu.closed {
		q.mu.Unlock()
		<-q.slots
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "the store is closing")
	}
	if len(q.mu.waiting) == 0 {
		q.mu.since = time.Now()
	}
	q.mu.waiting = append(q.mu.waiting, r)
	if r.changes > 0 {
		q.mu.changes += r.changes
	} else {
		q.mu.urgent++
	}
	q.mu.Unlock()
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.signal()
}

// take waits for a batch that is worth a commit, appending to group; it returns nothing when the queue is closed
// and empty.
func (q *queue) take(group []*request) []*request {
	for {
		group, wait, done := q.poll(group)
		if len(group) > 0 || done {
			return group
		}
		if wait == 0 {
			<-q.wake
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// poll takes what waits if it is time; else it says how long to wait, zero for as long as nothing comes.
func (q *queue) poll(group []*request) (taken []*request, wait time.Duration, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.waiting) == 0 {
		return group, 0, q.mu.closed
	}
	if q.mu.urgent == 0 && q.mu.changes < settleBatch && !q.mu.closed {
		if rest := q.gather - time.Since(q.mu.since); rest > 0 {
			return group, rest, false
		}
	}
	group = append(group, q.mu.waiting...)
	clear(q.mu.waiting)
	q.mu.waiting, q.mu.urgent, q.mu.changes = q.mu.waiting[:0], 0, 0
	for range group {
		<-q.slots // never blocks: each of the group holds one
	}
	return group, 0, false
}
