package gateway

import (
	"errors"
	"slices"
	"time"
)

// bufferedResponse is a node's response that is read completely before any of it is sent. So the node's slot is free while a
// slow client reads, and a call whose response breaks off can be retried.
type bufferedResponse struct {
	bytes    []byte
	reserved int64 // bytes reserved in memory
	who      owner // owner of the reservation
}

// maxBufferedResponse bounds a buffered response, in bytes. A longer one is streamed.
const maxBufferedResponse = 8 << 20

// minReadRate is the minimum rate at which a client must read a long response after WriteTimeout, in bytes per second.
const minReadRate = 16 << 10

// errNotBuffered means that a response is too long to be buffered, or that its owner's share of memory is used up.
var errNotBuffered = errors.New("the response is not buffered")

// responseBuffer writes into the bufferedResponse of an exchange.
type responseBuffer struct {
	*exchange
}

// Write implements io.Writer. If there is no room, it returns errNotBuffered and buffers nothing of part.
func (k responseBuffer) Write(part []byte) (int, error) {
	a := &k.answer
	size := len(a.bytes) + len(part)
	if size > maxBufferedResponse {
		return 0, errNotBuffered
	}
	if size > cap(a.bytes) {
		room := max(2*cap(a.bytes), size, 1<<10)
		if more := int64(room) - a.reserved; room > keepBuffer && more > 0 {
			if a.reserved == 0 {
				a.who = k.who
			}
			if k.g.memory.of(a.who).TryAcquire(a.who, more) != nil {
				return 0, errNotBuffered
			}
			a.reserved += more
		}
		a.bytes = slices.Grow(a.bytes, room-len(a.bytes))
	}
	a.bytes = append(a.bytes, part...)
	return len(part), nil
}

// release frees the reserved memory.
func (a *bufferedResponse) release(g *Gateway) {
	if a.reserved > 0 {
		g.memory.of(a.who).Release(a.who, a.reserved)
		a.reserved = 0
	}
	if cap(a.bytes) > keepBuffer {
		a.bytes = nil
	}
	a.bytes = a.bytes[:0]
}

// sendBuffered sends the head and the buffered response.
func (x *exchange) sendBuffered(status int) {
	x.head(status)
	if n := len(x.answer.bytes); n > keepBuffer {
		x.setWriteDeadline(x.g.opts.Now().Add(x.g.opts.WriteTimeout + time.Duration(n)*time.Second/minReadRate))
	}
	_, _ = x.w.Write(x.answer.bytes) // the client may have disconnected
}
