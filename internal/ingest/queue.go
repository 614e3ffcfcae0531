package ingest

import "github.com/esh3artech/esh3ar"

// businessShare is the divisor of a queue's bound that gives the bound of one business: a quarter.
const businessShare = 4

// boundedQueue is a first-in-first-out queue, bounded in messages and bytes, and in messages per business. It may hold abandoned calls:
// they count until they are removed. Guarded by Intake.mu.
type boundedQueue struct {
	calls    []*pendingCall // oldest first; those before head are gone
	head     int
	messages int
	bytes    int
	keyless  int                       // calls without an idempotency key
	business map[esh3ar.BusinessID]int // messages of each business that has any
}

func newBoundedQueue() boundedQueue { return boundedQueue{business: map[esh3ar.BusinessID]int{}} }

// fits reports whether there is room for the call. A queue without calls of the business takes a call that is larger than the business's
// bound, and an empty queue takes a call of any size; otherwise a large batch call would never be accepted.
func (q *boundedQueue) fits(p *pendingCall, o *Options) bool {
	own := q.business[p.call.Business]
	if own > 0 && own+p.Messages > o.LaneMessages/businessShare {
		return false
	}
	return q.messages == 0 || q.messages+p.Messages <= o.LaneMessages && q.bytes+p.Bytes <= o.LaneBytes
}

// push adds the call at the end.
func (q *boundedQueue) push(p *pendingCall) {
	q.calls = append(q.calls, p)
	q.messages += p.Messages
	q.bytes += p.Bytes
	q.business[p.call.Business] += p.Messages
	if p.call.Key == nil {
		q.keyless++
	}
}

// first returns the oldest call, nil if the queue is empty.
func (q *boundedQueue) first() *pendingCall {
	if q.head == len(q.calls) {
		return nil
	}
	return q.calls[q.head]
}

// pop removes the oldest call. The queue must not be empty.
func (q *boundedQueue) pop() {
	p := q.calls[q.head]
	q.calls[q.head] = nil
	q.head++
	if q.head == len(q.calls) {
		q.calls, q.head = q.calls[:0], 0
	}
	q.uncount(p)
}

// filter removes the calls for which keep returns false, visiting them oldest first.
func (q *boundedQueue) filter(keep func(*pendingCall) bool) {
	kept := q.calls[:0]
	for _, p := range q.calls[q.head:] {
		if keep(p) {
			kept = append(kept, p)
		} else {
			q.uncount(p)
		}
	}
	clear(q.calls[len(kept):])
	q.calls, q.head = kept, 0
}

// uncount takes a removed call out of the counts.
func (q *boundedQueue) uncount(p *pendingCall) {
	q.messages -= p.Messages
	q.bytes -= p.Bytes
	q.business[p.call.Business] -= p.Messages
	if q.business[p.call.Business] == 0 {
		delete(q.business, p.call.Business)
	}
	if p.call.Key == nil {
		q.keyless--
	}
}
