package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// body is the body of a request. A small one is read completely before a node is chosen. A long one is streamed, and buffered
// for a retry while that is possible and there is memory.
type body struct {
	kept      []byte // buffered bytes, from the start
	whole     bool   // kept holds the whole body
	keep      bool   // bytes that are read are buffered
	from      int    // offset in kept of the next part
	remaining int64  // bytes that may still arrive
	reserved  int64  // bytes reserved in memory
	who       owner  // owner of the reservation
	source    io.Reader
	failed    error // error of source, once it occurred
}

// Errors of reading a body: it exceeds its limit, or its owner's share of memory is used up.
var (
	errTooLarge = errors.New("the body is too large")
	errNoMemory = errors.New("this caller has reached its share of large calls")
)

// open prepares the body of a request, of at most limit bytes. It reads a body of up to maxBody completely.
func (b *body) open(g *Gateway, r *http.Request, who owner, limit int64, keep bool) error {
	b.kept = b.kept[:0]
	b.from = 0
	b.failed = nil
	b.who = who
	b.source = r.Body
	b.remaining = limit
	b.keep = true
	b.whole = r.Body == http.NoBody
	switch {
	case b.whole:
		return nil
	case r.ContentLength > limit:
		return errTooLarge
	case r.ContentLength > maxBody, r.ContentLength < 0 && limit > maxBody:
		b.keep = keep
		return b.readFirst()
	}
	return b.readAll(g)
}

// readFirst waits for the first bytes of a long body, so that a client that sends nothing holds no slot.
func (b *body) readFirst() error {
	if cap(b.kept) < keepBuffer {
		b.kept = make([]byte, 0, keepBuffer)
	}
	n, err := b.source.Read(b.kept[:keepBuffer])
	b.kept = b.kept[:n]
	b.remaining -= int64(n)
	if errors.Is(err, io.EOF) {
		b.whole = true
		return nil
	}
	if n > 0 {
		b.failed = err
		return nil
	}
	return err
}

func (b *body) readAll(g *Gateway) error {
	for {
		if !b.grow(g) {
			return errNoMemory
		}
		n, err := b.source.Read(b.kept[len(b.kept):cap(b.kept)])
		b.kept = b.kept[:len(b.kept)+n]
		b.remaining -= int64(n)
		switch {
		case b.remaining < 0:
			return errTooLarge
		case errors.Is(err, io.EOF):
			b.whole = true
			return nil
		case err != nil:
			return err
		}
	}
}

// grow doubles the buffer if it is full. Above keepBuffer it reserves memory in the owner's share, and returns false if there
// is none left.
func (b *body) grow(g *Gateway) bool {
	size := cap(b.kept)
	if len(b.kept) < size {
		return true
	}
	size = max(2*size, 1<<10)
	if more := int64(size) - b.reserved; size > keepBuffer && more > 0 {
		if g.memory.of(b.who).TryAcquire(b.who, more) != nil {
			return false
		}
		b.reserved += more
	}
	b.kept = append(make([]byte, 0, size), b.kept...)
	return true
}

// consumed reports whether the whole body was read from the client.
func (b *body) consumed() bool { return b.whole || errors.Is(b.failed, io.EOF) }

// replayable reports whether the body can be sent from the start again.
func (b *body) replayable() bool { return b.whole || b.keep && b.failed == nil }

// rewind makes part start from the beginning.
func (b *body) rewind() { b.from = 0 }

// part returns the next part of the body, and io.EOF at the end. It reads at most len(room) bytes from the client.
func (b *body) part(g *Gateway, room []byte) ([]byte, error) {
	if b.from < len(b.kept) {
		part := b.kept[b.from:]
		b.from = len(b.kept)
		return part, nil
	}
	if b.whole {
		return nil, io.EOF
	}
	if b.failed != nil {
		return nil, b.failed
	}
	n, err := b.source.Read(room)
	b.remaining -= int64(n)
	if b.remaining < 0 {
		n, err = 0, errTooLarge
	}
	b.buffer(g, room[:n])
	if errors.Is(err, io.EOF) {
		b.whole = b.keep
		b.failed = io.EOF
		if n > 0 {
			err = nil
		}
	} else if err != nil {
		b.failed = err
	}
	return room[:n], err
}

// buffer buffers bytes that were read, if a retry may need them and there is memory.
func (b *body) buffer(g *Gateway, part []byte) {
	for len(part) > 0 && b.keep {
		if b.keep = b.grow(g); !b.keep {
			b.kept = nil
			b.from = 0
			return
		}
		n := copy(b.kept[len(b.kept):cap(b.kept)], part)
		b.kept, part = b.kept[:len(b.kept)+n], part[n:]
		b.from = len(b.kept)
	}
}

func (b *body) release(g *Gateway) {
	if b.reserved > 0 {
		g.memory.of(b.who).Release(b.who, b.reserved)
	}
	b.reserved = 0
	b.source = nil
	if cap(b.kept) > keepBuffer {
		b.kept = nil
	}
}

// refuseBody answers a request whose body could not be read.
func (x *exchange) refuseBody(err error) {
	switch {
	case errors.Is(err, errTooLarge):
		x.answerProblem(bodyTooLarge, "the body may have at most "+sizeOf(x.limit))
	case errors.Is(err, errNoMemory):
		x.answerProblem(overloaded, err.Error()+"; nothing was stored")
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.answerProblem(requestTimeout, "send the body faster, or less of it")
	default:
		x.answerProblem(unreadable, "the body ended before its length")
	}
}

func sizeOf(limit int64) string {
	if limit == maxBatchBody {
		return "16 MiB"
	}
	return "128 KiB"
}
