package checker

import "time"

// phoneConn is one connection of a phone.
type phoneConn struct {
	began int64             // time before the dial
	quiet bool              // it never sends
	last  map[string]uint64 // highest seq of a first delivery, by lane
	seen  map[uint64]bool   // delivered seqs
}

// margin is the allowed difference of two clocks of one machine, one of them truncated to milliseconds.
const margin = int64(50 * time.Millisecond)

// receivedBy processes a delivery to a phone.
func (b *Book) receivedBy(e *Entry) {
	s := b.find(e)
	if s == nil {
		return
	}
	l := b.lines[e.Conn]
	if l == nil {
		b.reportBreach(s, "received on connection %d, which is not open", e.Conn)
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
		b.reportBreach(s, "pushed as attempt %d of %d", e.Attempt, b.rules.Attempts)
	}
	if e.Lane != s.lane {
		b.reportBreach(s, "sent in lane %s but received in lane %s", s.lane, e.Lane)
	}
}

// inOrder: on one connection, the first deliveries of one lane have rising seq. A replay gives the message a new seq, and
// so another first delivery.
func (b *Book) inOrder(s *messageTrace, l *phoneConn, e *Entry) {
	if l.seen[e.Seq] {
		if l.quiet {
			b.reportBreach(s, "pushed again on connection %d, which had sent nothing since", e.Conn)
		}
		return
	}
	l.seen[e.Seq] = true
	if e.Seq <= l.last[e.Lane] {
		b.reportBreach(s, "on connection %d seq %d came after %d of lane %s", e.Conn, e.Seq, l.last[e.Lane], e.Lane)
	}
	l.last[e.Lane] = max(l.last[e.Lane], e.Seq)
}

// inTime: not before it is to be sent, and not on a connection that began when the message was over: the node looks
// before each push, so only a push that was on its way can come late.
func (b *Book) inTime(s *messageTrace, p *place, l *phoneConn, e *Entry) {
	if e.At < s.sendAt-margin {
		b.reportBreach(s, "received %s, before its time", clock(e.At))
	}
	if s.canceledAt != 0 && l.began > s.canceledAt {
		b.reportBreach(s, "received on connection %d, which began after the message was canceled", e.Conn)
	}
	if s.ttl != 0 && p.life == 1 && l.began > s.dueAt(createdAt(e.ID))+s.ttl+margin {
		b.reportBreach(s, "received on connection %d, which began after the message expired", e.Conn)
	}
}
