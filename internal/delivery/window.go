package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// entryState is the state of a pushed message on this connection.
type entryState uint8

const (
	unacked      entryState = iota
	settling                // acknowledged; the commit is running
	endedUnacked            // canceled, expired or failed while the phone had it; a late acknowledgement still counts
	ended                   // acknowledged and committed; kept for the order of pushes
)

// entry is a message that was pushed on this connection.
type entry struct {
	id              esh3ar.MessageID
	seq             esh3ar.Seq
	life            esh3ar.Life
	lane            esh3ar.Priority
	state           entryState
	size            int32
	attempt         int32
	attemptRecorded bool      // the attempt of its next redelivery is in the store
	pending         bool      // its next redelivery is being prepared
	acked           bool      // its acknowledgement is running or durable
	calls           int32     // running calls about it; the entry is kept until they are completed
	read            bool      // its read receipt is running or durable
	pushed          time.Time // time of the last push
	heard           int64     // time at which the connection had last received bytes at the last push
}

// maxRememberedEntries bounds the ended entries that are kept after one that is not ended. Beyond it the oldest are dropped, and
// AcknowledgeUpTo with exactly their seq is ignored.
const maxRememberedEntries = 1024

// window holds the pushed messages in the order of their first pushes. A session without entries has no window, because most sessions are
// idle.
type window struct {
	entries  []entry
	messages int // unacknowledged messages
	bytes    int // unacknowledged bytes
}

func (w *window) add(e entry) {
	w.entries = append(w.entries, e)
	w.messages++
	w.bytes += int(e.size)
}

// find returns the newest entry of a message, nil if there is none. There are two if the message was replayed while the phone had it.
func (w *window) find(id esh3ar.MessageID) *entry {
	for i := len(w.entries) - 1; i >= 0; i-- {
		if w.entries[i].id == id {
			return &w.entries[i]
		}
	}
	return nil
}

// upTo returns the entries that were first pushed before the one with seq, and that one; none if seq was not pushed here.
func (w *window) upTo(seq esh3ar.Seq) []entry {
	for i := range w.entries {
		if w.entries[i].seq == seq {
			return w.entries[:i+1]
		}
	}
	return nil
}

// oldest returns the first unacknowledged entry of a lane, nil if there is none.
func (w *window) oldest(lane esh3ar.Priority) *entry {
	for i := range w.entries {
		if e := &w.entries[i]; e.lane == lane && e.state == unacked {
			return e
		}
	}
	return nil
}

// move changes the state of an entry and the counts.
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

// drop removes entries whose push the connection refused.
func (w *window) drop(ids []esh3ar.MessageID) {
	w.entries = slices.DeleteFunc(w.entries, func(e entry) bool {
		if !slices.Contains(ids, e.id) {
			return false
		}
		w.move(&e, ended)
		return true
	})
}

// trim drops ended entries at the front, and the oldest of too many others. It reports whether any entry is left.
func (w *window) trim() bool {
	front := 0
	for front < len(w.entries) && w.entries[front].state == ended && w.entries[front].calls == 0 {
		front++
	}
	w.entries = w.entries[front:]
	if len(w.entries) > 2*maxRememberedEntries {
		surplus := len(w.entries) - maxRememberedEntries
		w.entries = slices.DeleteFunc(w.entries, func(e entry) bool {
			if surplus == 0 || e.state < endedUnacked || e.calls > 0 {
				return false
			}
			surplus--
			return true
		})
	}
	return len(w.entries) > 0
}
