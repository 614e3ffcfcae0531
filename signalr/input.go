package signalr

// input holds the bytes that a client has sent and that are not handled yet. It is guarded by dispatcher.mu.
type input struct {
	buf     *buffer // holds the bytes from off on; nil if there are none
	off     int
	peeked  int // bytes after off that dispatcher.peekLocked has read ahead
	scanned int // bytes after off that contain no end of a message
}

// append appends bytes. If move is set, it may overwrite handled bytes; the last record must not be in use then.
func (in *input) append(b []byte, move bool) {
	if in.buf == nil {
		in.buf = newBuffer()
	}
	if move && in.off > 0 && cap(in.buf.b)-len(in.buf.b) < len(b) {
		in.buf.b = append(in.buf.b[:0], in.buf.b[in.off:]...)
		in.off = 0
	}
	in.buf.b = append(in.buf.b, b...)
}

// next returns the next record, nil if it is incomplete. cut is the framing of the protocol or of the handshake. The record
// is valid until tidy, or an append with move set.
func (in *input) next(cut func(b []byte, scanned, limit int) ([]byte, int, error), limit int) ([]byte, error) {
	if in.buf == nil {
		return nil, nil
	}
	b := in.buf.b[in.off:]
	record, size, err := cut(b, in.scanned, limit)
	if record == nil {
		in.scanned = len(b)
		return nil, err
	}
	in.off += size
	in.peeked = max(0, in.peeked-size)
	in.scanned = 0
	return record, nil
}

// tidy returns the buffer to the pool if all of it is handled, or if drop is set.
func (in *input) tidy(drop bool) {
	if in.buf != nil && (drop || in.left() == 0) {
		in.buf.free()
		*in = input{}
	}
}

func (in *input) left() int {
	if in.buf == nil {
		return 0
	}
	return len(in.buf.b) - in.off
}
