package embedded

import (
	"github.com/esh3artech/esh3ar"
)

// A message gets a seq when it enters the inbox. Most enter with their append; a scheduled one enters when it is due, and
// one that is replayed from the dead letters enters again. Then its rows move to the place of the new seq, in the same
// commit as the status.

// enter brings a scheduled message into the inbox.
func (st *staging) enter(s *settling, c *esh3ar.Change) (applied bool, err error) {
	if !s.Allows(c) || !s.Stage().CanBecome(esh3ar.Stage{Life: s.Stage().Life, Status: esh3ar.Queued}) {
		return false, nil
	}
	if ok, err := st.renumber(s); err != nil || !ok {
		return false, err
	}
	s.Enter(c.At)
	return true, nil
}

// replay begins the next life of a dead letter.
func (st *staging) replay(s *settling, c *esh3ar.Change) (applied bool, err error) {
	if !s.Allows(c) {
		return false, nil
	}
	if ok, err := st.isDead(s); err != nil || !ok {
		return false, err
	}
	if ok, err := st.renumber(s); err != nil || !ok {
		return false, err
	}
	s.Replay(c.At)
	if s.moves.TTL == 0 {
		return true, nil
	}
	if err := st.batch.Delete(appendTask(nil, s.moves.ExpiresAt, esh3ar.ExpireTask, s.id), nil); err != nil { // the last life's
		return false, err
	}
	s.moves.ExpiresAt = c.At.Add(s.moves.TTL)
	return true, st.addTask(s.moves.ExpiresAt, esh3ar.ExpireTask, s.Stage().Life, s.moves)
}

// isDead tells whether a message is a dead letter that nobody discarded.
func (st *staging) isDead(s *settling) (bool, error) {
	if s.FailedAt() == 0 || s.discard {
		return false, nil
	}
	if s.stored.dead == 0 { // it failed in this batch
		return true, nil
	}
	row, err := st.get(appendDead(nil, s.business, s.stored.dead, s.id))
	return row != nil && !discarded(row), err
}

// renumber gives a message its next seq. A body that is gone or damaged keeps it where it is, and nobody else waits for it.
func (st *staging) renumber(s *settling) (ok bool, err error) {
	if s.moves == nil {
		m, ok, err := readBody(st.committer.store.db, s.recipient, s.stored.seq, s.id)
		if err != nil || !ok {
			st.committer.store.opts.Log.Error("a message cannot enter its inbox: its body is missing or damaged; run `esh3ar verify`",
				"message", s.id, "error", err)
			return false, nil
		}
		s.moves = &m
	}
	s.seq, err = st.nextSeq(s.recipient)
	return err == nil, err
}

// move writes the rows of a message to the place of its new seq and deletes the old ones.
func (st *staging) move(s *settling) error {
	m := s.moves
	for _, old := range [][]byte{
		appendBodyKey(nil, s.recipient, s.stored.seq, s.id), appendStepsKey(nil, s.recipient, s.stored.seq, s.id),
	} {
		if err := st.batch.Delete(old, nil); err != nil {
			return err
		}
	}
	return st.setMessage(m, s.place)
}

// setMessage writes the rows that say what a message is and where. The message itself is not changed: its call may yet
// be refused.
func (st *staging) setMessage(m *esh3ar.Message, where place) error {
	st.key, st.row = appendBodyKey(st.key[:0], m.Recipient, where.seq, m.ID), appendBody(st.row[:0], m, where.seq)
	if err := st.set(st.key, st.row); err != nil {
		return err
	}
	st.key, st.row = appendID(st.key[:0], m.ID), where.append(st.row[:0])
	if err := st.set(st.key, st.row); err != nil {
		return err
	}
	st.key = appendList(st.key[:0], m.Business, m.ID)
	st.row = appendUint64(appendUint64(st.row[:0], uint64(m.Recipient)), uint64(where.seq))
	return st.set(st.key, st.row)
}
