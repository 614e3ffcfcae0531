package embedded

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/esh3artech/esh3ar"
)

// request is one caller's work on its way through the committer.
type request struct {
	stage    func(*staging) error // adds the work to the batch; an error answers this request alone and adds nothing
	changes  int                  // settles: how many; they wait for company
	size     int64                // of its place in the queue, set by put
	done     chan struct{}        // closed after the commit
	answered bool                 // the committer's own: done is closed
	err      error
}

func newRequest(size int, stage func(*staging) error) *request {
	return &request{stage: stage, size: min(max(int64(size), minRequestSize), queueBytes), done: make(chan struct{})}
}

// The bounds of what waits. When they are reached callers wait on their context. Intake has one append under way and
// the settler two, so only a flood gets here; and since the committer takes all that waits, they bound a batch too.
const (
	queueBytes     = 64 << 20
	queueLimit     = 1024 // requests
	minRequestSize = queueBytes / queueLimit
)

// changeSize is what a waiting change takes, about.
const changeSize = 128

// queue gathers requests for the committer.
type queue struct {
	gather time.Duration
	room   *semaphore.Weighted // of queueBytes; first come, first served
	wake   chan struct{}       // capacity 1: a signal, not a count
	ended  context.Context     // over when the queue is closed: who waits for room then goes away
	end    context.CancelFunc
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
	q := &queue{gather: gather, room: semaphore.NewWeighted(queueBytes), wake: make(chan struct{}, 1)}
	q.ended, q.end = context.WithCancel(context.Background())
	return q
}

func (q *queue) put(ctx context.Context, r *request) error {
	if err := q.enter(ctx, r.size); err != nil {
		return err
	}
	q.mu.Lock()
	if q.mu.closed {
		q.mu.Unlock()
		q.room.Release(r.size)
		return errClosing
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

var errClosing = esh3ar.Errorf(esh3ar.StoreUnavailable, "the store is closing")

// enter waits for room. A caller that left while it waited has committed nothing.
func (q *queue) enter(ctx context.Context, size int64) error {
	if ctx.Err() == nil && q.room.TryAcquire(size) {
		return nil
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.ended, cancel)()
	switch {
	case q.room.Acquire(wait, size) == nil:
		return nil
	case ctx.Err() != nil:
		return esh3ar.Errorf(esh3ar.Abandoned, "wait for the store: %w", context.Cause(ctx))
	default:
		return errClosing
	}
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
	q.end()
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
	for _, r := range group {
		q.room.Release(r.size)
	}
	return group, 0, false
}
