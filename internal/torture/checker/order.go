package checker

import "time"

// line is one connection of a phone.
type line struct {
	began int64             // before it was dialed
	quiet bool              // it never said a word
	last  map[string]uint64 // highest first delivery by lane
	seen  map[uint64]bool   // seqs
}

// margin is what two clocks of one machine, one cut to milliseconds, may differ by.
const margin = int64(50 * time.Millisecond)

// receivedBy takes a delivery to a phone.
func (b *Book) receivedBy(e *Entry) {
	s := b.find(e)
	if s == nil {
		return
	}
	l := b.lines[e.Conn]
	if l == nil {
		b.breaks(s, "received on connection %d, which is not open", e.Conn)
		return
	}
	if s.received == 0 {
		b.verdict.Received++
	} else {
		b.verdict.Repeats++
	}
	s.received++
	b.appears(s, e)
	p := s.at(e.Seq)
	if p.seen == 0 {
		p.seen = e.At
	}
	b.inOrder(s, l, e)
	b.inTime(s, p, l, e)
	if e.Attempt > b.rules.Attempts {
		b.breaks(s, "pushed as attempt %d of %d", e.Attempt, b.rules.Attempts)
	}
	if e.Lane != s.lane {
		b.breaks(s, "sent in lane %s and received in lane %s", s.lane, e.Lane)
	}
}

// inOrder: on one connection, the first deliveries of one lane have rising seq. A replay gives the message a new seq, and
// so another first delivery.
func (b *Book) inOrder(s *story, l *line, e *Entry) {
	if l.seen[e.Seq] {
		if l.quiet {
			b.breaks(s, "repeated on connection %d, which had shown no sign of life since", e.Conn)
		}
		return
	}
	l.seen[e.Seq] = true
	if e.Seq <= l.last[e.Lane] {
		b.breaks(s, "on connection %d seq %d came after %d of lane %s", e.Conn, e.Seq, l.last[e.Lane], e.Lane)
	}
	l.last[e.Lane] = max(l.last[e.Lane], e.Seq)
}

// inTime: not before it is to be sent, and not on a connection that began when the message was over: the node looks
// before each push, so only a push that was on its way can come late.
func (b *Book) inTime(s *story, p *place, l *line, e *Entry) {
	if e.At < s.sendAt-margin {
		b.breaks(s, "received %s, before its time", clock(e.At))
	}
	if s.canceledAt != 0 && l.began > s.canceledAt {
		b.breaks(s, "received on connection %d, which began after the message was canceled", e.Conn)
	}
	if s.ttl != 0 && p.life == 1 && l.began > s.dueAt(createdAt(e.ID))+s.ttl+margin {
		b.breaks(s, "received on connection %d, which began after the message expired", e.Conn)
	}
}
