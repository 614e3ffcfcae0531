package presence

import "github.com/esh3artech/esh3ar"

// outbox holds hints that wait for the look-up of their recipients. When it is full a new hint is dropped, for the old
// ones are as good; the sweep delivers it.
type outbox struct {
	hints    []Hint
	bytes    int
	maxHints int
	maxBytes int
}

// push takes a hint in; false: there is no room.
func (o *outbox) push(h *Hint) bool {
	size := h.size()
	if len(o.hints) >= o.maxHints || o.bytes+size > o.maxBytes {
		return false
	}
	o.hints = append(o.hints, *h)
	o.bytes += size
	return true
}

// pop takes the oldest out, one at least and at most so many and so many bytes.
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

// hintSize is about what a hint takes besides its message and its ids.
const hintSize = 96

// size is about what a hint takes in memory and on its way.
func (h *Hint) size() int {
	n := hintSize + len(h.IDs)*len(esh3ar.MessageID{}.UUID)
	if h.Message != nil {
		n += h.Message.Size()
	}
	return n
}
