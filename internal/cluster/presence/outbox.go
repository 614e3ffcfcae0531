package presence

import "github.com/esh3artech/esh3ar"

// outbox is a bounded FIFO queue of hints that wait for the lookup of their recipients. When it is full, a new hint is dropped: it
// is worth no more than an old one, and the sweep delivers its message.
type outbox struct {
	hints    []Hint
	bytes    int
	maxHints int
	maxBytes int
}

// push appends a hint and reports whether it fitted.
func (o *outbox) push(h *Hint) bool {
	size := h.size()
	if len(o.hints) >= o.maxHints || o.bytes+size > o.maxBytes {
		return false
	}
	o.hints = append(o.hints, *h)
	o.bytes += size
	return true
}

// pop removes and returns the oldest hints: at least one, up to most hints and about bytes in size.
func (o *outbox) pop(most, bytes int) []Hint {
	n := 0
	for n < len(o.hints) && n < most {
		size := o.hints[n].size()
		if n > 0 && size > bytes {
			break
		}
		bytes -= size
		o.bytes -= size
		n++
	}
	taken := append([]Hint(nil), o.hints[:n]...)
	rest := copy(o.hints, o.hints[n:])
	clear(o.hints[rest:])
	o.hints = o.hints[:rest]
	return taken
}

// hintSize is the approximate size of a hint without its message and ids.
const hintSize = 96

// size returns the approximate size of a hint in memory and on the wire.
func (h *Hint) size() int {
	n := hintSize + len(h.IDs)*len(esh3ar.MessageID{}.UUID)
	if h.Message != nil {
		n += h.Message.Size()
	}
	return n
}
