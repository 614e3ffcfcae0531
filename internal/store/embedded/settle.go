package embedded

import (
	"context"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// settling is a message whose progress this batch changes.
type settling struct {
	id esh3ar.MessageID
	place
	lifecycle.Steps
	stored  stored
	counted bool            // attempts changed
	discard bool            // it leaves the dead letters
	gone    bool            // it is purged
	moves   *esh3ar.Message // its body, where it gets another seq
}

// stored is what the database has of a message before the batch.
type stored struct {
	seq   esh3ar.Seq
	steps int         // of the list
	waits bool        // in the undelivered index
	dead  esh3ar.Time // its dead letter; zero: none
}

// asStored is what the database has of a message that stands like this.
func (s *settling) asStored() stored {
	return stored{seq: s.seq, steps: len(s.List), waits: s.waiting(), dead: s.FailedAt()}
}

// waiting tells whether it belongs into the undelivered index.
func (s *settling) waiting() bool { return s.seq != 0 && !s.Stage().Status.Ends() }

func (s *settling) changed() bool {
	return len(s.List) != s.stored.steps || s.counted || s.discard
}

// Settle realises esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if err := s.fault.Err(); err != nil {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "settle: %w", err)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	if err := lifecycle.Check(changes); err != nil { // a caller's bug; in the committer it would stop everybody
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

// settle stages one change.
func (st *staging) settle(c *esh3ar.Change) (esh3ar.Settled, error) {
	st.changes++
	result := esh3ar.Settled{Message: c.Message}
	if c.Task != nil {
		if held, err := st.holds(c.Task); err != nil || !held {
			return result, err
		}
	}
	s, err := st.load(c.Message)
	if err != nil {
		return result, err
	}
	if s != nil && !s.gone && s.ownedBy(c) {
		result.Found = true
		if result.Applied, err = st.apply(s, c); err != nil {
			return result, err
		}
		sendAt, err := st.sendAt(s)
		if err != nil {
			return result, err
		}
		result.Recipient, result.Seq, result.Progress = s.recipient, s.seq, s.Progress(sendAt)
	}
	return result, st.endTask(c.Task)
}

// sendAt is when a scheduled message is or was due; only its body knows.
func (st *staging) sendAt(s *settling) (esh3ar.Time, error) {
	if !s.scheduled {
		return 0, nil
	}
	if s.moves != nil {
		return s.moves.SendAt, nil
	}
	m, _, err := readBody(st.committer.store.db, s.recipient, s.stored.seq, s.id)
	return m.SendAt, err
}

// ownedBy tells whether the message is the one that c may change: a change names an owner, or it is nobody's.
func (s *settling) ownedBy(c *esh3ar.Change) bool {
	return (c.Recipient != 0 || !c.Business.IsZero()) &&
		(c.Recipient == 0 || c.Recipient == s.recipient) && (c.Business.IsZero() || c.Business == s.business)
}

// apply changes the message if every condition of c holds.
func (st *staging) apply(s *settling, c *esh3ar.Change) (applied bool, err error) {
	switch {
	case c.Replay:
		return st.replay(s, c)
	case c.To == esh3ar.Queued:
		return st.enter(s, c)
	default:
		applied = s.Apply(c)
		s.counted = s.counted || applied && c.To == esh3ar.Scheduled
		return applied, nil
	}
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
		done, err := readSteps(db, where, id)
		if err != nil {
			return nil, err
		}
		s = &settling{id: id, place: where, Steps: done}
		s.stored = s.asStored()
	}
	if st.settling == nil {
		st.settling = map[esh3ar.MessageID]*settling{}
	}
	st.settling[id] = s
	st.settled = append(st.settled, s)
	return s, nil
}

// finishSettling writes one message's changes: one row, an event per step, and its places in the indexes.
func (st *staging) finishSettling(s *settling) error {
	if s.gone || !s.changed() {
		return nil
	}
	if s.moves != nil {
		if err := st.move(s); err != nil {
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
	if err := st.indexWaiting(s); err != nil {
		return err
	}
	return st.indexDead(s)
}

// indexWaiting keeps the undelivered index. A row of it is written once and deleted once, so that both vanish when they
// meet in a compaction.
func (st *staging) indexWaiting(s *settling) error {
	waits, moved := s.waiting(), s.seq != s.stored.seq
	if s.stored.waits && (!waits || moved) {
		st.key = appendWaiting(st.key[:0], s.recipient, s.priority, s.stored.seq)
		if err := st.batch.SingleDelete(st.key, nil); err != nil {
			return err
		}
	}
	if !waits || s.stored.waits && !moved || faultinject.Is(faultinject.ReplayOutsideTheLane) && s.Stage().Life > 1 {
		return nil
	}
	st.key = appendWaiting(st.key[:0], s.recipient, s.priority, s.seq)
	return st.set(st.key, nil)
}

// indexDead keeps the dead letters.
func (st *staging) indexDead(s *settling) error {
	dead := s.FailedAt()
	if s.stored.dead != 0 && s.stored.dead != dead {
		st.key = appendDead(st.key[:0], s.business, s.stored.dead, s.id)
		if err := st.batch.Delete(st.key, nil); err != nil {
			return err
		}
	}
	if dead == 0 || dead == s.stored.dead && !s.discard {
		return nil
	}
	st.key = appendDead(st.key[:0], s.business, dead, s.id)
	return st.set(st.key, deadRow(s.discard))
}
