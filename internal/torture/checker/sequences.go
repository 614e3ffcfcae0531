package checker

import "maps"

// entered is how often a message entered its inbox, and so how many seqs it took: once with each life that was queued.
func (s *story) entered() int {
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

// sequences: the seqs of each recipient go on from the round before without gaps, and each belongs to one message. Not
// every seq is known to the ledger (of a replay without an answer whose message nobody received), so they are counted: all
// that are known are different and lie within the number of entries, which leaves exactly as many as are unknown.
func (b *Book) sequences(list []*story) map[uint64]uint64 {
	counters := maps.Clone(b.start.Counters)
	if counters == nil {
		counters = map[uint64]uint64{}
	}
	for _, s := range list {
		counters[s.to] += uint64(s.entered())
	}
	owners := map[uint64]map[uint64]*story{}
	for _, s := range list {
		if owners[s.to] == nil {
			owners[s.to] = map[uint64]*story{}
		}
		for _, p := range s.places {
			b.owns(owners[s.to], s, p.seq, counters[s.to])
		}
	}
	return counters
}

func (b *Book) owns(owners map[uint64]*story, s *story, seq, top uint64) {
	if other := owners[seq]; other != nil && other != s {
		b.breaks(s, "seq %d of +%d belongs to message %d as well", seq, s.to, other.number)
		return
	}
	owners[seq] = s
	if base := b.start.Counters[s.to]; seq <= base {
		b.breaks(s, "seq %d of +%d was given before, in an earlier round", seq, s.to)
	}
	if seq > top {
		b.breaks(s, "+%d was given %d seqs, and this is seq %d: there is a gap", s.to, top, seq)
	}
}
