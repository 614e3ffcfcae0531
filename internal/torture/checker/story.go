package checker

import (
	"fmt"
	"strings"
	"time"
)

// story is all that is known of one message.
type story struct {
	number int
	call   int
	key    string
	to     uint64
	lane   string
	sendAt int64
	ttl    int64
	quiet  bool

	original *story   // of a copy: the first story of the same number
	copies   []*story // of an original

	began      int64 // of the first try to send it
	node       int   // that the tries were made at; several: anywhere
	answered   int64 // its first 202
	spilled    bool  // and that said that it is on the node's disk alone
	stored     bool  // a 202 said that it is in the store
	refused    bool
	unknown    bool
	mismatched bool // its key belonged to another body

	id       string // under which it appeared; a further one makes a copy
	places   []place
	received int
	acking   [2]bool // delivered, read: a phone meant to
	acked    [2]bool // and its call was completed

	cancels    int   // called
	canceledAt int64 // the first 200
	replays    int   // called, of this message by its id
	absent     bool  // the node said so after it was accepted

	final *Entry
	marks []Mark // its events by version, from whoever told of them first
	told  int    // how long the history is that the node tells at rest; zero: it did not
	seen  [maxConsumers]uint16
	dead  bool
}

// place is a seq that the message has or had.
type place struct {
	seq      uint64
	life     int   // zero: nobody said
	began    int64 // it cannot have had the seq before
	answered int64 // an answer told the seq
	seen     int64 // a phone saw it there
}

// maxConsumers bounds the consumers of events.
const maxConsumers = 8

// first is the story that knows the calls.
func (s *story) first() *story {
	if s.original != nil {
		return s.original
	}
	return s
}

// copied begins the story of the same message under another id.
func (s *story) copied() *story {
	s = s.first()
	c := &story{
		number: s.number, call: s.call, key: s.key, to: s.to, lane: s.lane, sendAt: s.sendAt, ttl: s.ttl, quiet: s.quiet, began: s.began, original: s,
	}
	s.copies = append(s.copies, c)
	return c
}

// at finds the place with a seq, or makes it.
func (s *story) at(seq uint64) *place {
	for i := range s.places {
		if s.places[i].seq == seq {
			return &s.places[i]
		}
	}
	s.places = append(s.places, place{seq: seq, began: s.began})
	return &s.places[len(s.places)-1]
}

// ofLife finds the place of a life, or nil.
func (s *story) ofLife(life int) *place {
	for i := range s.places {
		if s.places[i].life == life {
			return &s.places[i]
		}
	}
	return nil
}

// dueAt is when its first life may begin.
func (s *story) dueAt(created int64) int64 { return max(created, s.sendAt) }

// excused tells whether it may leave the inbox without a phone: then a Sync may leave it out.
func (s *story) excused() bool {
	return s.ttl > 0 || s.cancels > 0 || s.replays > 0 || s.final != nil && (s.final.Life > 1 || s.final.Status == "failed")
}

// String tells everything.
func (s *story) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "message %d to +%d, lane %s, id %s", s.number, s.to, s.lane, s.id)
	tell := func(so bool, format string, args ...any) {
		if so {
			b.WriteString(", ")
			fmt.Fprintf(&b, format, args...)
		}
	}
	tell(s.key != "", "key %s", s.key)
	tell(s.call != s.number, "in the call of %d", s.call)
	tell(s.began != 0, "called %s", clock(s.began))
	tell(s.sendAt != 0, "to be sent %s", clock(s.sendAt))
	tell(s.ttl != 0, "good for %s", time.Duration(s.ttl))
	tell(s.answered != 0, "accepted %s", clock(s.answered))
	tell(s.spilled, "then spilled")
	tell(s.first().refused, "refused")
	tell(s.first().mismatched, "told that its key belongs to another call")
	tell(s.first().unknown, "without an answer once")
	tell(s.first().node != 0, "calls at node %d", s.first().node)
	for _, p := range s.places {
		tell(true, "seq %d", p.seq)
		tell(p.life != 0, "in life %d", p.life)
		tell(p.seen != 0, "seen there %s", clock(p.seen))
	}
	tell(true, "received %d times", s.received)
	for i, word := range []string{"delivered", "read"} {
		tell(s.acking[i] && !s.acked[i], "told to be %s", word)
		tell(s.acked[i], "acknowledged as %s", word)
	}
	tell(s.cancels > 0, "cancel called %d times", s.cancels)
	tell(s.canceledAt != 0, "canceled %s", clock(s.canceledAt))
	tell(s.replays > 0, "replay called %d times", s.replays)
	tell(s.absent, "once said not to exist")
	tell(s.dead, "among the dead letters")
	if s.final != nil {
		tell(true, "now %q in life %d with %d attempts", s.final.Status, s.final.Life, s.final.Attempt)
	} else {
		tell(true, "unknown to the node at the end")
	}
	b.WriteString("; history:")
	for _, m := range s.marks {
		fmt.Fprintf(&b, " %d %s", m.Version, m.Status)
		if m.Life != 1 {
			fmt.Fprintf(&b, " (life %d)", m.Life)
		}
		if m.At != 0 {
			fmt.Fprintf(&b, " %s", clock(m.At))
		}
	}
	fmt.Fprintf(&b, "; seen by consumers up to %v", s.seen)
	return b.String()
}

// clock is the time of day of the ledger's clock.
func clock(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05.000") }
