package checker

// judge holds one message against what was promised of it.
func (b *Book) judge(s *story) {
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
		b.breaks(s, "the node knows the message and tells no history of it")
		return
	}
	b.grows(s)
	b.caused(s)
	b.settled(s)
	b.buried(s)
	b.sighted(s)
}

func (b *Book) count(s *story) {
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

// kept: what was accepted is there, and what nobody received has a reason to be over.
func (b *Book) kept(s *story) {
	switch {
	case s.answered != 0 && s.final == nil:
		b.lost(s, "accepted, and the node does not know it")
	case s.answered != 0 && s.absent && !s.spilled: // other nodes know nothing of a spill
		b.breaks(s, "accepted, and then said not to exist for a while")
	case s.answered != 0 && s.received == 0 && !(s.final.Status == "expired" || s.final.Status == "canceled" || s.final.Status == "failed"):
		b.lost(s, "accepted, and no phone received it")
	case s.final != nil && !ends(s.final.Status):
		b.breaks(s, "never came to rest")
	}
}

func (b *Book) lost(s *story, why string) {
	b.verdict.Lost++
	b.breaks(s, "LOST: %s", why)
}

// single: stored once or not at all, as the answer said, with one seq in each life.
func (b *Book) single(s *story) {
	there, first := s.final != nil || s.received > 0, s.first()
	switch {
	case first.times() > 1:
		b.breaks(s, "stored %d times", first.times())
	case first.mismatched && there && !b.contested[s.key]:
		b.breaks(s, "its key belongs to another call, and yet it is there")
	case first.refused && !first.unknown && !first.wasAnswered() && there:
		b.breaks(s, "refused, and yet there")
	case len(s.places) > max(s.entered(), 1):
		b.breaks(s, "has %d seqs and entered its inbox %d times", len(s.places), s.entered())
	}
	last := place{}
	for life := 1; s.final != nil && life <= s.final.Life; life++ {
		if p := s.ofLife(life); p != nil {
			if p.seq <= last.seq {
				b.breaks(s, "life %d has seq %d, which is not above seq %d of life %d", life, p.seq, last.seq, last.life)
			}
			last = *p
		}
	}
}

// settled: what a caller was told stays so. After a cancel only an acknowledgement of a push that was on its way changes
// anything.
func (b *Book) settled(s *story) {
	status := s.final.Status
	switch {
	case s.acked[0] && ranks[status] < deliveredRank, s.acked[1] && status != "read":
		b.breaks(s, "an acknowledgement was taken back")
	case s.canceledAt != 0 && status != "canceled" && ranks[status] < deliveredRank:
		b.breaks(s, "a cancel was taken back")
	}
	for i := range s.places {
		if p := &s.places[i]; p.life > s.final.Life {
			b.breaks(s, "a replay was taken back: life %d had begun", p.life)
		}
	}
}

// buried: the dead letters are the failed messages.
func (b *Book) buried(s *story) {
	if failed := s.final.Status == "failed"; failed != s.dead {
		b.breaks(s, "failed is %t and to be among the dead letters is %t", failed, s.dead)
	}
}
