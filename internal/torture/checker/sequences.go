package checker

import "maps"

// entered returns how often a message entered its inbox, which is its number of seqs: once per queued life.
func (s *messageTrace) entered() int {
	switch {
	case s.duplicate():
		return 0
	case s.told == 0:
		return min(len(s.places), 1)
	}
	n := 0
	for _, m := range s.marks {
		if m.Status == "queued" {
			n++
		}
	}
	return n
}

// sequences checks that the seqs of each recipient continue from the previous round without gaps and that each belongs
// to one message. The ledger does not know every seq, for example of a replay without an answer whose message no phone
// received. So it counts: all known seqs are distinct and at most the number of inbox entries.
func (b *Book) sequences(list []*messageTrace) map[uint64]uint64 {
	counters := maps.Clone(b.start.Counters)
	if counters == nil {
		counters = map[uint64]uint64{}
	}
	for _, s := range list {
		counters[s.to] += uint64(s.entered())
	}
	owners := map[uint64]map[uint64]*messageTrace{}
	for _, s := range list {
		if owners[s.to] == nil {
			owners[s.to] = map[uint64]*messageTrace{}
		}
		for _, p := range s.places {
			b.owns(owners[s.to], s, p.seq, counters[s.to])
		}
	}
	return counters
}

func (b *Book) owns(owners map[uint64]*messageTrace, s *messageTrace, seq, top uint64) {
	if other := owners[seq]; other != nil && other != s {
		b.reportBreach(s, "seq %d of +%d belongs to message %d as well", seq, s.to, other.number)
		return
	}
	owners[seq] = s
	if base := b.start.Counters[s.to]; seq <= base {
		b.reportBreach(s, "seq %d of +%d was assigned in an earlier round", seq, s.to)
	}
	if seq > top {
		b.reportBreach(s, "gap: +%d has %d inbox entries, but this is seq %d", s.to, top, seq)
	}
}
