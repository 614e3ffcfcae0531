package signalr

// input is what a client has sent and nobody has handled yet. The dispatcher's lock guards it.
type input struct {
	buf     *buffer // bytes from off on; nil when there are none
	off     int
	peeked  int // bytes behind off that were looked at ahead of their turn, see dispatcher.peekLocked
	scanned int // bytes behind off that are known to hold no end of a message
}

// append takes bytes in. What was handled makes room for them only when nobody looks at the last record any more.
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

// next takes the next record by the rules of cut, which is the protocol's or the handshake's. It is valid until tidy, or
// an append that may move.
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

// tidy gives the buffer back when all of it is handled, or is not going to be.
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
