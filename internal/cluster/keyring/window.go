package keyring

// windowSize is how far behind the newest counter a frame may come, in frames. A node counts its frames to all nodes
// together and sends several at a time; beyond the window a frame is taken for a repeated one.
const windowSize = 1 << 16

// window remembers which counters of a peer came, as a ring of bits. The zero value has none.
type window struct {
	newest uint64
	bits   []uint64 // of windowSize counters up to newest; grows with the first of them
}

// add reports whether the counter, which is not 0, is new, and remembers it.
func (w *window) add(counter uint64) bool {
	if counter == 0 || w.newest >= windowSize && counter <= w.newest-windowSize {
		return false
	}
	if w.bits == nil {
		w.bits = make([]uint64, windowSize/64)
	}
	if counter > w.newest {
		w.advance(counter)
	}
	word, bit := &w.bits[counter%windowSize/64], uint64(1)<<(counter%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// advance makes counter the newest and forgets those that leave the window.
func (w *window) advance(counter uint64) {
	if counter-w.newest >= windowSize {
		clear(w.bits)
	} else {
		for c := w.newest + 1; c <= counter; c++ {
			w.bits[c%windowSize/64] &^= 1 << (c % 64)
		}
	}
	w.newest = counter
}
