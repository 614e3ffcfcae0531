package signalr

// replay holds what was sent and not acknowledged yet, as whole hub messages, bounded in bytes (Limits.Replay). The
// outbox's lock guards it.
type replay struct {
	first int64  // number of the first message; of the next one to come when there is none
	sizes []int  // of the messages
	buf   []byte // the messages, from off on
	off   int
	// fullSince is when a send was refused for want of room, or something was acknowledged after that; 0 once half of
	// the room is free again.
	fullSince int64
}

// add takes messages of protocol p.
func (r *replay) add(p protocol, b []byte) {
	r.buf = append(r.buf, b...)
	for len(b) > 0 {
		_, size, err := p.next(b, 0, -1)
		if err != nil || size == 0 || size > len(b) {
			size = len(b) // no whole message: an application's own bytes, which count as one
		}
		r.sizes = append(r.sizes, size)
		b = b[size:]
	}
}

// forget drops the messages up to a number, and reports whether there were any.
func (r *replay) forget(upTo int64) bool {
	n := 0
	for n < len(r.sizes) && r.first+int64(n) <= upTo {
		r.off += r.sizes[n]
		n++
	}
	r.first += int64(n)
	r.sizes = r.sizes[n:]
	switch {
	case len(r.sizes) == 0:
		r.sizes, r.buf, r.off = nil, nil, 0 // an idle connection keeps no buffer
	case r.off > len(r.buf)/2:
		r.buf = append(r.buf[:0], r.buf[r.off:]...)
		r.off = 0
	}
	return n > 0
}

// bytes returns the messages, one after the other.
func (r *replay) bytes() []byte { return r.buf[r.off:] }

func (r *replay) size() int { return len(r.buf) - r.off }
