package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// entryState is how far a pushed message got on this connection.
type entryState uint8

const (
	unacked  entryState = iota
	settling            // acknowledged, its commit is under way
	lapsed              // ended without a receipt while the phone had it: its late acknowledgement still counts
	ended               // over; kept only to know the order of pushes
)

// entry is a message that was pushed on this connection.
type entry struct {
	id      esh3ar.MessageID
	seq     esh3ar.Seq
	life    esh3ar.Life
	lane    esh3ar.Priority
	state   entryState
	size    int32
	attempt int32
	counted bool      // the attempt of its next repeat is in the store already
	pending bool      // its next repeat is being prepared
	acked   bool      // its acknowledgement is under way or durable
	calls   int32     // calls about it that are not completed; the entry is not forgotten before they are
	read    bool      // the same of its read receipt
	pushed  time.Time // the newest push
	heard   int64     // what the connection had last received by then
}

// rememberedEnds bounds how many entries that are over are kept behind one that is not. Beyond it the oldest are
// forgotten, and AcknowledgeUpTo with exactly their seq is taken for one that was not pushed here.
const rememberedEnds = 1024

// window holds what was pushed and is not over, in the order of first pushes. It is nil while it would be empty: most
// sessions are idle.
type window struct {
	entries  []entry
	messages int // unacknowledged
	bytes    int // of those
}

func (w *window) add(e entry) {
	w.entries = append(w.entries, e)
	w.messages++
	w.bytes += int(e.size)
}

// find gives the newest entry of a message: there are two when it was replayed while the phone had its last life.
func (w *window) find(id esh3ar.MessageID) *entry {
	for i := len(w.entries) - 1; i >= 0; i-- {
		if w.entries[i].id == id {
			return &w.entries[i]
		}
	}
	return nil
}

// upTo gives the entries that were first pushed up to and with seq; none if seq was not pushed here.
func (w *window) upTo(seq esh3ar.Seq) []entry {
	for i := range w.entries {
		if w.entries[i].seq == seq {
			return w.entries[:i+1]
		}
	}
	return nil
}

// oldest is the first unacknowledged entry of a lane, or nil.
func (w *window) oldest(lane esh3ar.Priority) *entry {
	for i := range w.entries {
		if e := &w.entries[i]; e.lane == lane && e.state == unacked {
			return e
		}
	}
	return nil
}

// move changes an entry's state and the counts with it.
func (w *window) move(e *entry, to entryState) {
	if e.state == unacked && to != unacked {
		w.messages--
		w.bytes -= int(e.size)
	} else if e.state != unacked && to == unacked {
		w.messages++
		w.bytes += int(e.size)
	}
	e.state = to
}

// drop takes entries out that were never pushed after all.
func (w *window) drop(ids []esh3ar.MessageID) {
	w.entries = slices.DeleteFunc(w.entries, func(e entry) bool {
		if !slices.Contains(ids, e.id) {
			return false
		}
		w.move(&e, ended)
		return true
	})
}

// trim forgets ended entries at the front, and the oldest of too many behind it; it tells whether anything is left.
func (w *window) trim() bool {
	front := 0
	for front < len(w.entries) && w.entries[front].state == ended && w.entries[front].calls == 0 {
		front++
	}
	w.entries = w.entries[front:]
	if len(w.entries) > 2*rememberedEnds {
		surplus := len(w.entries) - rememberedEnds
		w.entries = slices.DeleteFunc(w.entries, func(e entry) bool {
			if surplus == 0 || e.state < lapsed || e.calls > 0 {
				return false
			}
			surplus--
			return true
		})
	}
	return len(w.entries) > 0
}
