package connlimit

import "container/heap"

// idleQueue is a heap of the unauthenticated connections by their last request. A request only stores its time in the
// connection; longestIdle updates the order lazily.
type idleQueue struct{ conns []*Conn }

var _ heap.Interface = (*idleQueue)(nil)

// Len implements sort.Interface.
func (q *idleQueue) Len() int { return len(q.conns) }

// Less implements sort.Interface.
func (q *idleQueue) Less(i, j int) bool { return q.conns[i].ranked < q.conns[j].ranked }

// Swap implements sort.Interface.
func (q *idleQueue) Swap(i, j int) {
	q.conns[i], q.conns[j] = q.conns[j], q.conns[i]
	q.conns[i].heapIndex, q.conns[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (q *idleQueue) Push(x any) {
	c := x.(*Conn) //nolint:forcetypeassert // push is its only caller
	c.heapIndex = len(q.conns)
	q.conns = append(q.conns, c)
}

// Pop implements heap.Interface.
func (q *idleQueue) Pop() any {
	last := len(q.conns) - 1
	c := q.conns[last]
	q.conns[last] = nil
	q.conns = q.conns[:last]
	c.heapIndex = -1
	return c
}

func (q *idleQueue) push(c *Conn) {
	c.ranked = c.seen.Load()
	heap.Push(q, c)
}

func (q *idleQueue) remove(c *Conn) {
	if c.heapIndex >= 0 {
		heap.Remove(q, c.heapIndex)
	}
}

// longestIdle returns the connection whose peer has been silent longest, or nil if the queue is empty. It returns one that is being
// served only if all are.
func (q *idleQueue) longestIdle(now int64) *Conn {
	for len(q.conns) > 0 {
		c := q.conns[0]
		since := c.idleSince(now)
		if since == c.ranked {
			return c
		}
		c.ranked = since
		heap.Fix(q, 0)
	}
	return nil
}
