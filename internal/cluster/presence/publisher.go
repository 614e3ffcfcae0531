package presence

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// publishBatch is the number of recipients per call of Presence.
	publishBatch = 500
	// shardInterval is the time between the renewals of two shards. All shards are renewed once per RenewInterval.
	shardInterval = RenewInterval / Shards
)

// publisher is the part of a RouterState that keeps the presence entries of this node up to date. One operation is in progress at a
// time: a batch of dirty recipients, or the renewal of a shard.
type publisher struct {
	dirty     dirtySet
	busy      bool
	batch     []esh3ar.Recipient // recipients that NextBatch returned
	assert    []esh3ar.Recipient
	retract   []esh3ar.Recipient
	nextShard int // next shard to renew
}

// Changed records that the recipient's first session on this node has begun or its last session has ended.
func (b *RouterState) Changed(r esh3ar.Recipient) { b.mark(r) }

func (b *RouterState) mark(r esh3ar.Recipient) {
	if !b.publisher.dirty.add(r) {
		b.stats.DirtyDropped++
	}
}

// NextBatch starts an operation on the oldest dirty recipients and returns them. It returns nil if there are none or an operation
// is in progress. The caller must check which of them have a session on this node only after this call: a later change marks the
// recipient again. Decide and Done must follow.
func (b *RouterState) NextBatch() []esh3ar.Recipient {
	s := &b.publisher
	if s.busy || len(s.dirty.queue) == 0 {
		return nil
	}
	s.busy, s.batch = true, s.dirty.pop(publishBatch)
	return s.batch
}

// Decide splits the batch: held[i] reports whether recipient i has a session on this node. Those with a session are asserted, the
// others retracted.
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

// Done ends the operation; the errors are those of the two calls. It returns the recipients whose counters must be compared with
// the store now, because a message may have been stored between a lookup that did not find them and their assertion. If the
// assertion failed it returns none: the next renewal asserts them, and the sweep finds the messages.
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
	s.busy = false
	s.batch = nil
	s.assert = nil
	s.retract = nil
	return compare
}

func (b *RouterState) count(said *uint64, n int, err error) {
	if err != nil {
		said = &b.stats.PublishFailed
	}
	*said += uint64(n)
}

// Renew starts the renewal of the next shard and returns it. ok is false if an operation is in progress. The caller must read the
// recipients of the shard only after this call. Renewed must follow.
func (b *RouterState) Renew() (share int, ok bool) {
	s := &b.publisher
	if s.busy {
		return 0, false
	}
	s.busy, share = true, s.nextShard
	s.nextShard = (s.nextShard + 1) % Shards
	return share, true
}

// Renewed ends a renewal that asserted n recipients, or failed with err.
func (b *RouterState) Renewed(n int, err error) {
	b.publisher.busy = false
	b.count(&b.stats.Asserted, n, err)
}
