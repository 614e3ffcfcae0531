package gateway

import (
	"errors"
	"slices"
	"time"
)

// kept is the answer of a node that is read whole before the caller gets any of it: the slot at the node is free before the caller
// takes the answer, however slowly it does, and an answer that breaks off costs nothing.
type kept struct {
	bytes    []byte
	reserved int64 // of its owner's share of the gateway's memory, in bytes
	who      owner // of what is reserved
}

// mostKept bounds an answer that is kept, in bytes. What is longer is passed on in parts.
const mostKept = 8 << 20

// takeRate is how fast a caller must take a long answer, in bytes per second, after the time that every answer has.
const takeRate = 16 << 10

// errNotKept is an answer that is too long to be kept, or for whose owner there is no memory.
var errNotKept = errors.New("the answer is not kept")

// keeper writes into a kept answer.
type keeper struct {
	*exchange
}

// Write keeps a part. It returns errNotKept, and has kept nothing of that part, where there is no room.
func (k keeper) Write(part []byte) (int, error) {
	a := &k.answer
	size := len(a.bytes) + len(part)
	if size > mostKept {
		return 0, errNotKept
	}
	if size > cap(a.bytes) {
		room := max(2*cap(a.bytes), size, 1<<10)
		if more := int64(room) - a.reserved; room > keepBuffer && more > 0 {
			if a.reserved == 0 {
				a.who = k.who
			}
			if k.g.memory.of(a.who).TryAcquire(a.who, more) != nil {
				return 0, errNotKept
			}
			a.reserved += more
		}
		a.bytes = slices.Grow(a.bytes, room-len(a.bytes))
	}
	a.bytes = append(a.bytes, part...)
	return len(part), nil
}

// release gives back what is reserved.
func (a *kept) release(g *Gateway) {
	if a.reserved > 0 {
		g.memory.of(a.who).Release(a.who, a.reserved)
		a.reserved = 0
	}
	if cap(a.bytes) > keepBuffer {
		a.bytes = nil
	}
	a.bytes = a.bytes[:0]
}

// passKept gives the caller the head and a kept answer.
func (x *exchange) passKept(status int) {
	x.head(status)
	if n := len(x.answer.bytes); n > keepBuffer {
		x.takeUntil(x.g.opts.Now().Add(x.g.opts.TakeWithin + time.Duration(n)*time.Second/takeRate))
	}
	_, _ = x.w.Write(x.answer.bytes) // the caller may have gone
}
