package checker

// judge checks one message.
func (b *Book) judge(s *messageTrace) {
	b.count(s)
	if s.duplicate() {
		b.duplicated(s)
		return
	}
	b.kept(s)
	b.single(s)
	if s.final == nil {
		return
	}
	if s.told == 0 {
		b.reportBreach(s, "the node returns the message without a history")
		return
	}
	b.grows(s)
	b.caused(s)
	b.settled(s)
	b.buried(s)
	b.sighted(s)
}

func (b *Book) count(s *messageTrace) {
	if s.final == nil {
		return
	}
	b.verdict.Replays += s.final.Life - 1
	if n := map[string]*int{
		"delivered": &b.verdict.Delivered, "read": &b.verdict.Read, "expired": &b.verdict.Expired, "canceled": &b.verdict.Canceled, "failed": &b.verdict.Failed,
	}[s.final.Status]; n != nil {
		*n++
	}
	if s.dead {
		b.verdict.Dead++
	}
}

// kept checks that an accepted message exists, and that a message without a delivery has a reason to be final.
func (b *Book) kept(s *messageTrace) {
	switch {
	case s.answered != 0 && s.final == nil:
		b.lost(s, "accepted, and the node does not know it")
	case s.answered != 0 && s.absent && !s.spilled: // other nodes do not see a spill
		b.reportBreach(s, "accepted, but later answered 404")
	case s.answered != 0 && s.received == 0 && !(s.final.Status == "expired" || s.final.Status == "canceled" || s.final.Status == "failed"):
		b.lost(s, "accepted, and no phone received it")
	case s.final != nil && !ends(s.final.Status):
		b.reportBreach(s, "never reached a final status")
	}
}

func (b *Book) lost(s *messageTrace, why string) {
	b.verdict.Lost++
	b.reportBreach(s, "LOST: %s", why)
}

// single checks that a message is stored once or not at all, as the answer said, with one seq per life.
func (b *Book) single(s *messageTrace) {
	there, first := s.final != nil || s.received > 0, s.first()
	switch {
	case first.times() > 1:
		b.reportBreach(s, "stored %d times", first.times())
	case first.mismatched && there && !b.contested[s.key]:
		b.reportBreach(s, "stored although its key belongs to another call")
	case first.refused && !first.unknown && !first.wasAnswered() && there:
		b.reportBreach(s, "stored although the call was refused")
	case len(s.places) > max(s.entered(), 1):
		b.reportBreach(s, "has %d seqs and entered its inbox %d times", len(s.places), s.entered())
	}
	last := place{}
	for life := 1; s.final != nil && life <= s.final.Life; life++ {
		if p := s.ofLife(life); p != nil {
			if p.seq <= last.seq {
				b.reportBreach(s, "life %d has seq %d, which is not above seq %d of life %d", life, p.seq, last.seq, last.life)
			}
			last = *p
		}
	}
}

// settled checks that confirmed outcomes persist. After a cancel only the acknowledgement of a push in flight may change
// the status.
func (b *Book) settled(s *messageTrace) {
	status := s.final.Status
	switch {
	case s.acked[0] && ranks[status] < deliveredRank, s.acked[1] && status != "read":
		b.reportBreach(s, "a completed acknowledgement was undone")
	case s.canceledAt != 0 && status != "canceled" && ranks[status] < deliveredRank:
		b.reportBreach(s, "a confirmed cancel was undone")
	}
	for i := range s.places {
		if p := &s.places[i]; p.life > s.final.Life {
			b.reportBreach(s, "a confirmed replay was undone: life %d had begun", p.life)
		}
	}
}

// buried checks that the dead letters are exactly the failed messages.
func (b *Book) buried(s *messageTrace) {
	if failed := s.final.Status == "failed"; failed != s.dead {
		b.reportBreach(s, "failed is %t but listed as a dead letter is %t", failed, s.dead)
	}
}
