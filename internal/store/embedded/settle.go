package embedded

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// settling is a message whose progress this batch changes.
type settling struct {
	id esh3ar.MessageID
	place
	steps
	written int  // steps that the database has
	counted bool // attempts changed
	left    bool // it left the inbox in this batch
}

// Settle realises esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if err := s.fault.err(); err != nil {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "settle: %w", err)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	if err := checkChanges(changes); err != nil {
		return nil, err
	}
	results := make([]esh3ar.Settled, len(changes))
	r := newRequest(changeSize*len(changes), func(st *staging) error {
		for i := range changes {
			result, err := st.settle(&changes[i])
			if err != nil {
				return st.fail(err)
			}
			results[i] = result
		}
		return nil
	})
	r.changes = len(changes)
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return results, nil
}

// checkChanges keeps a caller's bug away from the committer, where it would stop everybody.
func checkChanges(changes []esh3ar.Change) error {
	for i := range changes {
		if changes[i].To >= esh3ar.Statuses || changes[i].Below >= esh3ar.Statuses || changes[i].Attempt < 0 {
			return esh3ar.Errorf(esh3ar.Invalid, "change %d of %s: no such status or attempt", i, changes[i].Message)
		}
	}
	return nil
}

// settle stages one change.
func (st *staging) settle(c *esh3ar.Change) (esh3ar.Settled, error) {
	st.changes++
	result := esh3ar.Settled{Message: c.Message}
	s, err := st.load(c.Message)
	if err != nil || s == nil {
		return result, err
	}
	if !s.ownedBy(c) {
		return result, nil
	}
	result.Found = true
	result.Applied = s.apply(c)
	result.Progress = s.progress(0)
	return result, nil
}

// ownedBy tells whether the message is the one that c may change: a change names an owner, or it is nobody's.
func (s *settling) ownedBy(c *esh3ar.Change) bool {
	return (c.Recipient != 0 || !c.Business.IsZero()) &&
		(c.Recipient == 0 || c.Recipient == s.recipient) && (c.Business.IsZero() || c.Business == s.business)
}

// apply changes the steps if every condition of c holds. It is pure.
func (s *settling) apply(c *esh3ar.Change) bool {
	stage := s.stage()
	if c.Life != 0 && c.Life != stage.Life || c.Below != 0 && stage.Status.Rank() >= c.Below.Rank() {
		return false
	}
	if c.To == esh3ar.Scheduled { // counts an attempt and nothing else
		if c.Attempt == 0 || s.attempts != c.Attempt-1 || stage.Status.Ends() {
			return false
		}
		s.attempts, s.counted = c.Attempt, true
		return true
	}
	next := esh3ar.Stage{Life: stage.Life, Status: c.To}
	if !stage.CanBecome(next) {
		return false
	}
	s.attempts = max(s.attempts, c.Attempt)
	s.list = append(s.list, step{life: next.Life, status: next.Status, attempt: s.attempts, at: c.At, reason: c.Reason})
	s.left = s.left || next.Status.Ends() && !stage.Status.Ends()
	return true
}

// load finds a message by id, in the overlay first; nil when it is unknown.
func (st *staging) load(id esh3ar.MessageID) (*settling, error) {
	if s, ok := st.settling[id]; ok {
		return s, nil
	}
	s := st.committer.recent.find(id)
	if s == nil {
		db := st.committer.store.db
		where, ok, err := readPlace(db, id)
		if err != nil || !ok {
			return nil, err
		}
		done, err := readSteps(db, where.recipient, where.seq, id)
		if err != nil {
			return nil, err
		}
		s = &settling{id: id, place: where, steps: done, written: len(done.list)}
	}
	if st.settling == nil {
		st.settling = map[esh3ar.MessageID]*settling{}
	}
	st.settling[id] = s
	st.settled = append(st.settled, s)
	return s, nil
}

// finishSettling writes one message's changes: one row, an event per step, and its way out of the inbox.
func (st *staging) finishSettling(s *settling) error {
	if len(s.list) == s.written && !s.counted {
		return nil
	}
	st.key, st.row = appendRecipientSeq(st.key[:0], stepsKey, s.recipient, s.seq), s.steps.append(st.row[:0])
	if err := st.set(st.key, st.row); err != nil {
		return err
	}
	for i := s.written; i < len(s.list); i++ {
		event := eventRow{id: s.id, business: s.business, recipient: s.recipient, seq: s.seq, version: uint32(i + 1), step: s.list[i]}
		if err := st.logEvent(&event); err != nil {
			return err
		}
	}
	if !s.left {
		return nil
	}
	// Written once, deleted once, so both vanish when they meet in a compaction.
	st.key = appendWaiting(st.key[:0], s.recipient, s.priority, s.seq)
	return st.batch.SingleDelete(st.key, nil)
}
