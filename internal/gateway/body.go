package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// body is what a caller sends. A small one is read whole before a node is chosen. A long one is a stream; what has gone by
// is kept, as long as a repeat may want it and there is memory.
type body struct {
	kept     []byte // from the beginning
	whole    bool   // all of it is kept
	keep     bool   // what is read is kept
	from     int    // of kept, that is read next
	left     int64  // that may still come
	reserved int64  // of its owner's share of the gateway's memory, in bytes
	who      owner  // of what is reserved
	source   io.Reader
	failed   error // of the source, once it had one
}

// errTooLarge ends a body that is longer than it may be; errNoMemory one that there is no room for.
var (
	errTooLarge = errors.New("the body is too large")
	errNoMemory = errors.New("this caller has its share of large calls under way")
)

// open takes a request's body of at most limit bytes. One of up to maxBody is read now.
func (b *body) open(g *Gateway, r *http.Request, who owner, limit int64, keep bool) error {
	b.kept, b.from, b.failed, b.who = b.kept[:0], 0, nil, who
	b.source, b.left, b.keep, b.whole = r.Body, limit, true, r.Body == http.NoBody
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

// readFirst waits for the first bytes of a long body: until they are there, the call needs nothing but its connection.
func (b *body) readFirst() error {
	if cap(b.kept) < keepBuffer {
		b.kept = make([]byte, 0, keepBuffer)
	}
	n, err := b.source.Read(b.kept[:keepBuffer])
	b.kept = b.kept[:n]
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		b.whole = true
		return nil
	case n > 0:
		b.failed = err
		return nil
	}
	return err
}

func (b *body) readAll(g *Gateway) error {
	for {
		if !b.makeRoom(g) {
			return errNoMemory
		}
		n, err := b.source.Read(b.kept[len(b.kept):cap(b.kept)])
		b.kept = b.kept[:len(b.kept)+n]
		switch b.left -= int64(n); {
		case b.left < 0:
			return errTooLarge
		case errors.Is(err, io.EOF):
			b.whole = true
			return nil
		case err != nil:
			return err
		}
	}
}

// makeRoom doubles what is kept, when it is full, as the bytes come. What is above keepBuffer counts against the share of its
// owner in the memory of all calls; false: there is none left.
func (b *body) makeRoom(g *Gateway) bool {
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

// consumed reports whether all of it was read from the caller.
func (b *body) consumed() bool { return b.whole || errors.Is(b.failed, io.EOF) }

// replayable tells whether it can be sent from its beginning.
func (b *body) replayable() bool { return b.whole || b.keep && b.failed == nil }

// rewind begins anew.
func (b *body) rewind() { b.from = 0 }

// part gives what comes next, of at most len(room) bytes unless it was kept already; io.EOF at the end.
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
	if b.left -= int64(n); b.left < 0 {
		n, err = 0, errTooLarge
	}
	b.note(g, room[:n])
	switch {
	case errors.Is(err, io.EOF):
		b.whole = b.keep
		b.failed = io.EOF
		if n > 0 {
			err = nil
		}
	case err != nil:
		b.failed = err
	}
	return room[:n], err
}

// note keeps what was read, if it is to be kept and there is room.
func (b *body) note(g *Gateway, part []byte) {
	for len(part) > 0 && b.keep {
		if b.keep = b.makeRoom(g); !b.keep {
			b.kept, b.from = nil, 0
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
	b.reserved, b.source = 0, nil
	if cap(b.kept) > keepBuffer {
		b.kept = nil
	}
}

// refuseBody answers a body that could not be read.
func (x *exchange) refuseBody(err error) {
	switch {
	case errors.Is(err, errTooLarge):
		x.refuse(bodyTooLarge, "at most "+sizeOf(x.limit)+" are taken")
	case errors.Is(err, errNoMemory):
		x.refuse(overloaded, err.Error()+"; nothing was taken")
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.refuse(requestTimeout, "send the body faster, or less of it")
	default:
		x.refuse(unreadable, "the body ended before its length")
	}
}

func sizeOf(limit int64) string {
	if limit == maxBatchBody {
		return "16 MiB"
	}
	return "128 KiB"
}
