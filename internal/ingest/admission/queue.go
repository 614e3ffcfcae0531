package admission

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// queue holds the waiting calls in one bucket for each pair of level and priority.
//
// Within a bucket the oldest call is next while waits are short. While they are long the newest is next: the oldest calls of a bucket
// that never empties are about to time out, and to serve them first would answer every call as late as its caller tolerates.
type queue struct {
	buckets  [esh3ar.Levels * esh3ar.Priorities]bucket // ascending by level, then by priority
	messages int
	bytes    int
}

// bucket is a doubly linked list of calls, so that any call can leave at once.
type bucket struct{ oldest, newest *Call }

// bucketOf returns the index of the call's bucket.
func bucketOf(c *Call) int { return int(c.Level)*esh3ar.Priorities + int(c.Priority) }

func (q *queue) empty() bool { return q.messages == 0 }

// fits reports whether the call fits within the bounds. An empty queue takes any call.
func (q *queue) fits(c *Call, maxMessages, maxBytes int) bool {
	return q.messages == 0 || q.messages+c.Messages <= maxMessages && q.bytes+c.Bytes <= maxBytes
}

// push adds the call as the newest of its bucket.
func (q *queue) push(c *Call) {
	b := &q.buckets[bucketOf(c)]
	c.bucket = b
	c.older = b.newest
	if b.newest == nil {
		b.oldest = c
	} else {
		b.newest.newer = c
	}
	b.newest = c
	q.messages += c.Messages
	q.bytes += c.Bytes
}

// lowest returns the oldest call of the lowest bucket that is not empty, and the bucket's index. The queue must not be empty.
func (q *queue) lowest() (*Call, int) {
	for i := range q.buckets {
		if q.buckets[i].oldest != nil {
			return q.buckets[i].oldest, i
		}
	}
	panic("admission: the queue counts messages but holds no call")
}

// next returns the call that is admitted next, nil if the queue is empty. A call that has waited since shortAfter or later counts as
// one with a short wait.
func (q *queue) next(shortAfter time.Time) *Call {
	for i := len(q.buckets) - 1; i >= 0; i-- {
		b := &q.buckets[i]
		if b.oldest == nil {
			continue
		}
		if b.oldest.Since.After(shortAfter) {
			return b.oldest
		}
		return b.newest
	}
	return nil
}

// remove takes the call out of its bucket, wherever it is in it.
func (q *queue) remove(c *Call) {
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		c.bucket.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		c.bucket.newest = c.older
	}
	c.older, c.newer, c.bucket = nil, nil, nil
	q.messages -= c.Messages
	q.bytes -= c.Bytes
}
