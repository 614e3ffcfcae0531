package embedded

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/esh3artech/esh3ar"
)

// request is the work of one caller, queued for the committer.
type request struct {
	stage     func(*stagedBatch) error // adds the work to the batch; an error fails this request only and must leave the batch unchanged
	changes   int                      // changes to settle; zero for requests that are not delayed
	size      int64                    // bytes charged to the queue, set by put
	done      chan struct{}            // closed after the commit
	completed bool                     // whether done is closed; used by the committer only
	err       error                    // result, valid after done is closed
}

func newRequest(size int, stage func(*stagedBatch) error) *request {
	return &request{stage: stage, size: min(max(int64(size), minRequestSize), queueBytes), done: make(chan struct{})}
}

// Bounds of the queue. When they are reached, callers block until there is room or their context ends. Ingest runs one
// append at a time and the settler two, so only a flood of calls reaches these bounds. The committer takes the whole queue
// at once, so they also bound a batch.
const (
	queueBytes     = 64 << 20
	queueLimit     = 1024 // requests
	minRequestSize = queueBytes / queueLimit
)

// changeSize approximates the memory of a queued change, in bytes.
const changeSize = 128

// queue gathers requests for the committer.
type queue struct {
	linger         time.Duration       // longest delay of settles
	room           *semaphore.Weighted // free part of queueBytes; first come, first served
	wake           chan struct{}       // capacity 1: a signal, not a count
	closeCtx       context.Context     // canceled when the queue is closed, which releases callers that wait for room
	cancelCloseCtx context.CancelFunc
	mu             struct {
		sync.Mutex
		waiting []*request
		urgent  int       // waiting requests that are not delayed
		changes int       // changes of the waiting settles
		since   time.Time // arrival of the oldest waiting request
		closed  bool
	}
}

func newQueue(gather time.Duration) *queue {
	q := &queue{linger: gather, room: semaphore.NewWeighted(queueBytes), wake: make(chan struct{}, 1)}
	q.closeCtx, q.cancelCloseCtx = context.WithCancel(context.Background())
	return q
}

// put queues a request. It blocks while the queue is full, and returns Abandoned if ctx ends first.
func (q *queue) put(ctx context.Context, r *request) error {
	if err := q.acquire(ctx, r.size); err != nil {
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

// acquire reserves size bytes of the queue. It returns Abandoned if ctx ends first; nothing is committed then.
func (q *queue) acquire(ctx context.Context, size int64) error {
	if ctx.Err() == nil && q.room.TryAcquire(size) {
		return nil
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.closeCtx, cancel)()
	switch {
	case q.room.Acquire(wait, size) == nil:
		return nil
	case ctx.Err() != nil:
		return esh3ar.Errorf(esh3ar.Abandoned, "wait for the store: %w", context.Cause(ctx))
	default:
		return errClosing
	}
}

// signal wakes take. A signal that is already pending is enough.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close rejects new requests and lets take return the remaining ones without delay.
func (q *queue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.cancelCloseCtx()
	q.signal()
}

// take blocks until a batch is worth a commit and appends its requests to group. It returns an empty group when the queue is
// closed and empty.
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

// poll appends the waiting requests to group if they are due. Otherwise it returns the time to wait; zero means until the
// next request.
func (q *queue) poll(group []*request) (taken []*request, wait time.Duration, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.waiting) == 0 {
		return group, 0, q.mu.closed
	}
	if q.mu.urgent == 0 && q.mu.changes < settleBatch && !q.mu.closed {
		if rest := q.linger - time.Since(q.mu.since); rest > 0 {
			return group, rest, false
		}
	}
	group = append(group, q.mu.waiting...)
	clear(q.mu.waiting)
	q.mu.waiting = q.mu.waiting[:0]
	q.mu.urgent = 0
	q.mu.changes = 0
	for _, r := range group {
		q.room.Release(r.size)
	}
	return group, 0, false
}
