package presence

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// publishBatch is how many recipients' presence is said at once.
	publishBatch = 500
	// shardInterval is the pace at which shares of the recipients are asserted again: all of them every PresenceEvery.
	shardInterval = RenewInterval / Shards
)

// publisher is the part of a Switchboard that says who is here. One operation is under way at a time.
type publisher struct {
	dirty     dirtySet
	busy      bool
	batch     []esh3ar.Recipient // by Turn
	assert    []esh3ar.Recipient
	retract   []esh3ar.Recipient
	nextShard int // that is asserted again next
}

// Changed says that the recipient's first session here has begun, or its last has ended.
func (b *RouterState) Changed(r esh3ar.Recipient) { b.mark(r) }

func (b *RouterState) mark(r esh3ar.Recipient) {
	if !b.publisher.dirty.add(r) {
		b.stats.DirtyDropped++
	}
}

// NextBatch begins an operation on marked recipients; none: there are none, or an operation is under way. Whoever calls then
// looks which of them the node holds, and not before: what changes behind that look is marked again. Say and Said follow.
func (b *RouterState) NextBatch() []esh3ar.Recipient {
	s := &b.publisher
	if s.busy || len(s.dirty.queue) == 0 {
		return nil
	}
	s.busy, s.batch = true, s.dirty.pop(publishBatch)
	return s.batch
}

// Decide tells what to say of those that Turn gave; held is whether the node holds them.
func (b *RouterState) Decide(held []bool) (assert, retract []esh3ar.Recipient) {
	s := &b.publisher
	for i, r := range s.batch {
		if held[i] {
			s.assert = append(s.assert, r)
		} else {
			s.retract = append(s.retract, r)
		}
	}
	return s.assert, s.retract
}

// Done ends an operation, with what became of its two halves. It gives those whose counters have to be compared with the
// store now: between a look-up that did not see them and their assertion something may have been stored. If an assertion
// failed, its recipients are asserted by the next round, and the sweep compares them.
func (b *RouterState) Done(asserted, retracted error) (compare []esh3ar.Recipient) {
	s := &b.publisher
	b.count(&b.stats.Asserted, len(s.assert), asserted)
	b.count(&b.stats.Retracted, len(s.retract), retracted)
	if asserted == nil && !faultinject.Is(faultinject.GapLeftOpen) {
		compare = s.assert
	}
	if faultinject.Is(faultinject.MarksForgotten) {
		s.dirty = dirtySet{limit: s.dirty.limit}
	}
	s.busy, s.batch, s.assert, s.retract = false, nil, nil, nil
	return compare
}

func (b *RouterState) count(said *uint64, n int, err error) {
	if err != nil {
		said = &b.stats.PublishFailed
	}
	*said += uint64(n)
}

// Renew begins to assert a share of the recipients again; false: an operation is under way. Whoever calls then asks the
// node whom it holds of the share, and not before. Renewed follows.
func (b *RouterState) Renew() (share int, ok bool) {
	s := &b.publisher
	if s.busy {
		return 0, false
	}
	s.busy, share = true, s.nextShard
	s.nextShard = (s.nextShard + 1) % Shards
	return share, true
}

// Renewed ends what Renew began: n recipients were asserted, or were not.
func (b *RouterState) Renewed(n int, err error) {
	b.publisher.busy = false
	b.count(&b.stats.Asserted, n, err)
}
