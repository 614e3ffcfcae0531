package delivery

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// fifo is an unbounded queue with a bound from outside: what is put in is limited by who puts it in.
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

func (q *fifo[T]) put(item T) {
	q.mu.Lock()
	q.mu.items = append(q.mu.items, item)
	q.mu.Unlock()
	q.filled.Signal()
}

// next waits for an item; false: the queue is closed and empty.
func (q *fifo[T]) next() (item T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.mu.head == len(q.mu.items) {
		if q.mu.closed {
			return item, false
		}
		q.filled.Wait()
	}
	var zero T
	item, q.mu.items[q.mu.head] = q.mu.items[q.mu.head], zero
	if q.mu.head++; q.mu.head == len(q.mu.items) {
		q.mu.items, q.mu.head = q.mu.items[:0], 0
	}
	return item, true
}

func (q *fifo[T]) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.filled.Broadcast()
}

// readyQueue holds sessions with events, each once at most: so it is bounded by the sessions.
type readyQueue struct{ *fifo[*Session] }

func newReadyQueue() *readyQueue { return &readyQueue{newFIFO[*Session]()} }

func (q *readyQueue) take() *Session {
	s, _ := q.next()
	return s
}

// readJob is a read for a session: of its inbox, or of one message. A session has one read of its inbox and one message
// per lane under way at most, so the queue is bounded by the sessions.
type readJob struct {
	session *Session
	query   *esh3ar.InboxQuery
	one     lived
}

type readQueue struct{ *fifo[readJob] }

func newReadQueue() *readQueue { return &readQueue{newFIFO[readJob]()} }

func (q *readQueue) take() (readJob, bool) { return q.next() }
