package checker

import (
	"fmt"
	"strings"
	"time"
)

// messageTrace holds all observations of one message.
type messageTrace struct {
	number int
	call   int
	key    string
	to     uint64
	lane   string
	sendAt int64
	ttl    int64
	quiet  bool

	original *messageTrace   // of a copy: the first trace with the same number
	copies   []*messageTrace // of an original

	began      int64 // time of the first try
	node       int   // number of the called node, or anywhere
	answered   int64 // time of the first 202
	spilled    bool  // the first 202 reported the spill
	stored     bool  // a 202 reported the store
	refused    bool
	unknown    bool
	mismatched bool // its key belongs to another body

	id       string // first observed id; another id starts a copy
	places   []place
	received int
	acking   [2]bool // delivered, read: an acknowledgement was sent
	acked    [2]bool // delivered, read: an acknowledgement was completed

	cancels    int   // cancel calls
	canceledAt int64 // time of the first 200
	replays    int   // replay calls by id
	absent     bool  // answered 404 after it was accepted

	final *Entry
	marks []Mark // events by version, from the first source
	told  int    // length of the history at rest; zero: none
	seen  [maxConsumers]uint16
	dead  bool
}

// place is a seq of the message.
type place struct {
	seq      uint64
	life     int   // zero: unknown
	began    int64 // earliest time of its assignment
	answered int64 // time of the first answer with the seq
	seen     int64 // time of the first delivery with the seq
}

// maxConsumers bounds the event consumers.
const maxConsumers = 8

// first returns the trace with the calls: the original of a copy.
func (s *messageTrace) first() *messageTrace {
	if s.original != nil {
		return s.original
	}
	return s
}

// copied begins the story of the same message under another id.
func (s *messageTrace) copied() *messageTrace {
	s = s.first()
	c := &messageTrace{
		number: s.number, call: s.call, key: s.key, to: s.to, lane: s.lane, sendAt: s.sendAt, ttl: s.ttl, quiet: s.quiet, began: s.began, original: s,
	}
	s.copies = append(s.copies, c)
	return c
}

// at returns the place with a seq and adds it if necessary.
func (s *messageTrace) at(seq uint64) *place {
	for i := range s.places {
		if s.places[i].seq == seq {
			return &s.places[i]
		}
	}
	s.places = append(s.places, place{seq: seq, began: s.began})
	return &s.places[len(s.places)-1]
}

// ofLife returns the place of a life, or nil.
func (s *messageTrace) ofLife(life int) *place {
	for i := range s.places {
		if s.places[i].life == life {
			return &s.places[i]
		}
	}
	return nil
}

// dueAt returns the earliest begin of its first life.
func (s *messageTrace) dueAt(created int64) int64 { return max(created, s.sendAt) }

// excused reports whether the message may leave the inbox without a phone, so that a Sync may omit it.
func (s *messageTrace) excused() bool {
	return s.ttl > 0 || s.cancels > 0 || s.replays > 0 || s.final != nil && (s.final.Life > 1 || s.final.Status == "failed")
}

// String returns all observations in one line.
func (s *messageTrace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "message %d to +%d, lane %s, id %s", s.number, s.to, s.lane, s.id)
	add := func(condition bool, format string, args ...any) {
		if condition {
			b.WriteString(", ")
			fmt.Fprintf(&b, format, args...)
		}
	}
	add(s.key != "", "key %s", s.key)
	add(s.call != s.number, "in the call of %d", s.call)
	add(s.began != 0, "called %s", clock(s.began))
	add(s.sendAt != 0, "to be sent %s", clock(s.sendAt))
	add(s.ttl != 0, "good for %s", time.Duration(s.ttl))
	add(s.answered != 0, "accepted %s", clock(s.answered))
	add(s.spilled, "into the spill")
	add(s.first().refused, "refused")
	add(s.first().mismatched, "answered idempotency_mismatch")
	add(s.first().unknown, "at least one call without an answer")
	add(s.first().node != 0, "calls at node %d", s.first().node)
	for _, p := range s.places {
		add(true, "seq %d", p.seq)
		add(p.life != 0, "in life %d", p.life)
		add(p.seen != 0, "seen there %s", clock(p.seen))
	}
	add(true, "received %d times", s.received)
	for i, word := range []string{"delivered", "read"} {
		add(s.acking[i] && !s.acked[i], "told to be %s", word)
		add(s.acked[i], "acknowledged as %s", word)
	}
	add(s.cancels > 0, "cancel called %d times", s.cancels)
	add(s.canceledAt != 0, "canceled %s", clock(s.canceledAt))
	add(s.replays > 0, "replay called %d times", s.replays)
	add(s.absent, "once said not to exist")
	add(s.dead, "among the dead letters")
	if s.final != nil {
		add(true, "now %q in life %d with %d attempts", s.final.Status, s.final.Life, s.final.Attempt)
	} else {
		add(true, "unknown to the node at the end")
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
