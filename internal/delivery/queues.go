package delivery

import (
	"sync"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
)

// fifo is a first-in-first-out queue without a bound of its own: its users bound what they put into it.
type fifo[T any] struct {
	mu struct {
		sync.Mutex
		items  []T
		head   int
		closed bool
	}
	filled sync.Cond
}

func newFIFO[T any]() *fifo[T] {
	q := &fifo[T]{}
	q.filled.L = &q.mu
	return q
}

// put adds an item and returns the number of waiting items.
func (q *fifo[T]) put(item T) (depth int) {
	q.mu.Lock()
	q.mu.items = append(q.mu.items, item)
	depth = len(q.mu.items) - q.mu.head
	q.mu.Unlock()
	q.filled.Signal()
	return depth
}

// next waits for an item. depth is the number of items that still wait; ok is false if the queue is closed and empty.
func (q *fifo[T]) next() (item T, depth int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.mu.head == len(q.mu.items) {
		if q.mu.closed {
			return item, 0, false
		}
		q.filled.Wait()
	}
	var zero T
	item, q.mu.items[q.mu.head] = q.mu.items[q.mu.head], zero
	if q.mu.head++; q.mu.head == len(q.mu.items) {
		q.mu.items, q.mu.head = q.mu.items[:0], 0
	}
	return item, len(q.mu.items) - q.mu.head, true
}

func (q *fifo[T]) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.filled.Broadcast()
}

// pooled is a queue with a worker pool that follows its depth.
type pooled[T any] struct {
	*fifo[T]
	*workerpool.Pool
}

// newPooled returns a queue. work is called once per worker and returns the function that handles an item.
func newPooled[T any](r workerpool.Rules, work func() func(item T)) pooled[T] {
	q := newFIFO[T]()
	return pooled[T]{q, workerpool.New(r, func(stay func(depth int) bool) {
		do := work()
		for item, depth, ok := q.next(); ok; item, depth, ok = q.next() {
			if do(item); !stay(depth) {
				return
			}
		}
	})}
}

func (q pooled[T]) add(item T) { q.ReportDepth(q.put(item)) }

// readyQueue holds the sessions that have events, each at most once, so the number of sessions bounds it. At most one worker runs a
// session at a time, so the events of a connection are processed in order.
type readyQueue = pooled[*Session]

// readJob is a read for a session: a page of its inbox, or one message. A session has at most one read of its inbox and one
// read of a message per lane in flight, so the number of sessions bounds the queue.
type readJob struct {
	session *Session
	query   *esh3ar.InboxQuery
	one     messageLife
}

type readQueue = pooled[readJob]
