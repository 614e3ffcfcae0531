package presence

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// sayBatch is how many recipients' presence is said at once.
	sayBatch = 500
	// renewEvery is the pace at which shares of the recipients are asserted again: all of them every PresenceEvery.
	renewEvery = PresenceEvery / Shares
)

// saying is the part of a Switchboard that says who is here. One operation is under way at a time.
type saying struct {
	marks   marks
	busy    bool
	asked   []esh3ar.Recipient // by Turn
	assert  []esh3ar.Recipient
	retract []esh3ar.Recipient
	share   int // that is asserted again next
}

// Changed says that the recipient's first session here has begun, or its last has ended.
func (b *Switchboard) Changed(r esh3ar.Recipient) { b.mark(r) }

func (b *Switchboard) mark(r esh3ar.Recipient) {
	if !b.saying.marks.add(r) {
		b.stats.Unmarked++
	}
}

// Turn begins an operation on marked recipients; none: there are none, or an operation is under way. Whoever calls then
// looks which of them the node holds, and not before: what changes behind that look is marked again. Say and Said follow.
func (b *Switchboard) Turn() []esh3ar.Recipient {
	s := &b.saying
	if s.busy || len(s.marks.waiting) == 0 {
		return nil
	}
	s.busy, s.asked = true, s.marks.take(sayBatch)
	return s.asked
}

// Say tells what to say of those that Turn gave; held is whether the node holds them.
func (b *Switchboard) Say(held []bool) (assert, retract []esh3ar.Recipient) {
	s := &b.saying
	for i, r := range s.asked {
		if held[i] {
			s.assert = append(s.assert, r)
		} else {
			s.retract = append(s.retract, r)
		}
	}
	return s.assert, s.retract
}

// Said ends an operation, with what became of its two halves. It gives those whose counters have to be compared with the
// store now: between a look-up that did not see them and their assertion something may have been stored. If an assertion
// failed, its recipients are asserted by the next round, and the sweep compares them.
func (b *Switchboard) Said(asserted, retracted error) (compare []esh3ar.Recipient) {
	s := &b.saying
	b.count(&b.stats.Asserted, len(s.assert), asserted)
	b.count(&b.stats.Retracted, len(s.retract), retracted)
	if asserted == nil && !faultinject.Is(faultinject.GapLeftOpen) {
		compare = s.assert
	}
	if faultinject.Is(faultinject.MarksForgotten) {
		s.marks = marks{most: s.marks.most}
	}
	s.busy, s.asked, s.assert, s.retract = false, nil, nil, nil
	return compare
}

func (b *Switchboard) count(said *uint64, n int, err error) {
	if err != nil {
		said = &b.stats.Unsaid
	}
	*said += uint64(n)
}

// Renew begins to assert a share of the recipients again; false: an operation is under way. Whoever calls then asks the
// node whom it holds of the share, and not before. Renewed follows.
func (b *Switchboard) Renew() (share int, ok bool) {
	s := &b.saying
	if s.busy {
		return 0, false
	}
	s.busy, share = true, s.share
	s.share = (s.share + 1) % Shares
	return share, true
}

// Renewed ends what Renew began: n recipients were asserted, or were not.
func (b *Switchboard) Renewed(n int, err error) {
	b.saying.busy = false
	b.count(&b.stats.Asserted, n, err)
}
