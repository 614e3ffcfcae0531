package embedded

import (
	"context"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// messageUpdate is a message whose status this batch changes.
type messageUpdate struct {
	id esh3ar.MessageID
	location
	lifecycle.Steps
	stored         storedState
	attemptCounted bool            // the number of attempts changed
	discarded      bool            // the message leaves the dead letters
	purged         bool            // the message is purged
	movedBody      *esh3ar.Message // body of the message if it gets a new seq, else nil
}

// storedState is the state of a message in the database before this batch.
type storedState struct {
	seq         esh3ar.Seq
	steps       int         // length of the list of steps
	undelivered bool        // whether the message is in the undelivered index
	failedAt    esh3ar.Time // failure time in the key of its dead letter; zero if it has none
}

// state returns the state that the database has after the current changes are written.
func (s *messageUpdate) state() storedState {
	return storedState{seq: s.seq, steps: len(s.List), undelivered: s.undelivered(), failedAt: s.FailedAt()}
}

// undelivered reports whether the message belongs in the undelivered index.
func (s *messageUpdate) undelivered() bool { return s.seq != 0 && !s.Stage().Status.Ends() }

func (s *messageUpdate) changed() bool {
	return len(s.List) != s.stored.steps || s.attemptCounted || s.discarded
}

// Settle implements esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if err := s.fault.Err(); err != nil {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "settle: %w", err)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	// Checked here, because an invalid change in the committer would fail the whole batch.
	if err := lifecycle.Check(changes); err != nil {
		return nil, err
	}
	results := make([]esh3ar.Settled, len(changes))
	r := newRequest(changeSize*len(changes), func(st *stagedBatch) error {
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

// settle stages one change.
func (st *stagedBatch) settle(c *esh3ar.Change) (esh3ar.Settled, error) {
	st.changes++
	result := esh3ar.Settled{Message: c.Message}
	if c.Task != nil {
		if held, err := st.holdsLease(c.Task); err != nil || !held {
			return result, err
		}
	}
	s, err := st.load(c.Message)
	if err != nil {
		return result, err
	}
	if s != nil && !s.purged && s.ownedBy(c) {
		result.Found = true
		if result.Applied, err = st.apply(s, c); err != nil {
			return result, err
		}
		sendAt, err := st.sendAt(s)
		if err != nil {
			return result, err
		}
		result.Recipient = s.recipient
		result.Seq = s.seq
		result.Progress = s.Progress(sendAt)
	}
	return result, st.endTask(c.Task)
}

// sendAt returns the time at which a scheduled message is or was due. Only the body contains it.
func (st *stagedBatch) sendAt(s *messageUpdate) (esh3ar.Time, error) {
	if !s.scheduled {
		return 0, nil
	}
	if s.movedBody != nil {
		return s.movedBody.SendAt, nil
	}
	m, _, err := readBody(st.committer.store.db, s.recipient, s.stored.seq, s.id)
	return m.SendAt, err
}

// ownedBy reports whether c may change the message. A change must name the owner, by recipient or business, and each that it
// names must match.
func (s *messageUpdate) ownedBy(c *esh3ar.Change) bool {
	return (c.Recipient != 0 || !c.Business.IsZero()) &&
		(c.Recipient == 0 || c.Recipient == s.recipient) && (c.Business.IsZero() || c.Business == s.business)
}

// apply changes the message if all conditions of c are met, and reports whether it did.
func (st *stagedBatch) apply(s *messageUpdate, c *esh3ar.Change) (applied bool, err error) {
	switch {
	case c.Replay:
		return st.replay(s, c)
	case c.To == esh3ar.Queued:
		return st.enqueue(s, c)
	default:
		applied = s.Apply(c)
		s.attemptCounted = s.attemptCounted || applied && c.To == esh3ar.Scheduled
		return applied, nil
	}
}

// load returns a message by id, from the overlay first. It returns nil if the message is unknown.
func (st *stagedBatch) load(id esh3ar.MessageID) (*messageUpdate, error) {
	if s, ok := st.updates[id]; ok {
		return s, nil
	}
	s := st.committer.cache.find(id)
	if s == nil {
		db := st.committer.store.db
		where, ok, err := readLocation(db, id)
		if err != nil || !ok {
			return nil, err
		}
		done, err := readSteps(db, where, id)
		if err != nil {
			return nil, err
		}
		s = &messageUpdate{id: id, location: where, Steps: done}
		s.stored = s.state()
	}
	if st.updates == nil {
		st.updates = map[esh3ar.MessageID]*messageUpdate{}
	}
	st.updates[id] = s
	st.updateOrder = append(st.updateOrder, s)
	return s, nil
}

// writeUpdate stages the changes of one message: its row of steps, an event per new step, and its index entries.
func (st *stagedBatch) writeUpdate(s *messageUpdate) error {
	if s.purged || !s.changed() {
		return nil
	}
	if s.movedBody != nil {
		if err := st.moveRows(s); err != nil {
			return err
		}
	}
	st.key, st.row = appendStepsKey(st.key[:0], s.recipient, s.seq, s.id), s.Steps.Append(st.row[:0])
	if err := st.set(st.key, st.row); err != nil {
		return err
	}
	for i := s.stored.steps; i < len(s.List); i++ {
		if faultinject.Is(faultinject.EventsTurnedAround) && i+1 < len(s.List) && i == s.stored.steps {
			s.List[i], s.List[i+1] = s.List[i+1], s.List[i]
		}
		event := eventRow{id: s.id, business: s.business, recipient: s.recipient, seq: s.seq, version: uint32(i + 1), Step: s.List[i]}
		if err := st.logEvent(&event); err != nil {
			return err
		}
	}
	if err := st.indexUndelivered(s); err != nil {
		return err
	}
	return st.indexDeadLetter(s)
}

// indexUndelivered updates the undelivered index. Every key of the index is written once and deleted once, so a compaction
// removes both.
func (st *stagedBatch) indexUndelivered(s *messageUpdate) error {
	waits, moved := s.undelivered(), s.seq != s.stored.seq
	if s.stored.undelivered && (!waits || moved) {
		st.key = appendUndelivered(st.key[:0], s.recipient, s.priority, s.stored.seq)
		if err := st.batch.SingleDelete(st.key, nil); err != nil {
			return err
		}
	}
	if !waits || s.stored.undelivered && !moved || faultinject.Is(faultinject.ReplayOutsideTheLane) && s.Stage().Life > 1 {
		return nil
	}
	st.key = appendUndelivered(st.key[:0], s.recipient, s.priority, s.seq)
	return st.set(st.key, nil)
}

// indexDeadLetter updates the index of dead letters.
func (st *stagedBatch) indexDeadLetter(s *messageUpdate) error {
	dead := s.FailedAt()
	if s.stored.failedAt != 0 && s.stored.failedAt != dead {
		st.key = appendDeadLetter(st.key[:0], s.business, s.stored.failedAt, s.id)
		if err := st.batch.Delete(st.key, nil); err != nil {
			return err
		}
	}
	if dead == 0 || dead == s.stored.failedAt && !s.discarded {
		return nil
	}
	st.key = appendDeadLetter(st.key[:0], s.business, dead, s.id)
	return st.set(st.key, deadLetterRow(s.discarded))
}
