package embedded

import (
	"github.com/esh3artech/esh3ar"
)

// A message gets its seq when it enters the inbox. Most messages enter with their append. A scheduled message enters when it
// is due, and a dead letter enters again when it is replayed. The commit that changes the status also moves the rows of the
// message to the keys of its new seq.

// enqueue moves a scheduled message into the inbox.
func (st *stagedBatch) enqueue(s *messageUpdate, c *esh3ar.Change) (applied bool, err error) {
	if !s.Allows(c) || !s.Stage().CanBecome(esh3ar.Stage{Life: s.Stage().Life, Status: esh3ar.Queued}) {
		return false, nil
	}
	if ok, err := st.assignSeq(s); err != nil || !ok {
		return false, err
	}
	s.Enqueue(c.At)
	return true, nil
}

// replay starts the next life of a dead letter.
func (st *stagedBatch) replay(s *messageUpdate, c *esh3ar.Change) (applied bool, err error) {
	if !s.Allows(c) {
		return false, nil
	}
	if ok, err := st.isDeadLetter(s); err != nil || !ok {
		return false, err
	}
	if ok, err := st.assignSeq(s); err != nil || !ok {
		return false, err
	}
	s.Replay(c.At)
	if s.movedBody.TTL == 0 {
		return true, nil
	}
	if err := st.batch.Delete(appendTask(nil, s.movedBody.ExpiresAt, esh3ar.ExpireTask, s.id), nil); err != nil { // of the previous life
		return false, err
	}
	s.movedBody.ExpiresAt = c.At.Add(s.movedBody.TTL)
	return true, st.addTask(s.movedBody.ExpiresAt, esh3ar.ExpireTask, s.Stage().Life, s.movedBody)
}

// isDeadLetter reports whether the message is a dead letter that has not been discarded.
func (st *stagedBatch) isDeadLetter(s *messageUpdate) (bool, error) {
	if s.FailedAt() == 0 || s.discarded {
		return false, nil
	}
	if s.stored.failedAt == 0 { // failed in this batch
		return true, nil
	}
	row, err := st.get(appendDeadLetter(nil, s.business, s.stored.failedAt, s.id))
	return row != nil && !isDiscarded(row), err
}

// assignSeq assigns the next seq to a message. If its body is missing or damaged, assignSeq logs that and returns false: the
// message keeps its seq, and the rest of the batch continues.
func (st *stagedBatch) assignSeq(s *messageUpdate) (ok bool, err error) {
	if s.movedBody == nil {
		m, ok, err := readBody(st.committer.store.db, s.recipient, s.stored.seq, s.id)
		if err != nil || !ok {
			st.committer.store.opts.Log.Error("a message cannot enter its inbox: its body is missing or damaged; run `esh3ar verify`",
				"message", s.id, "error", err)
			return false, nil
		}
		s.movedBody = &m
	}
	s.seq, err = st.nextSeq(s.recipient)
	return err == nil, err
}

// moveRows writes the rows of a message under the key of its new seq and deletes the old ones.
func (st *stagedBatch) moveRows(s *messageUpdate) error {
	m := s.movedBody
	for _, old := range [][]byte{
		appendBodyKey(nil, s.recipient, s.stored.seq, s.id), appendStepsKey(nil, s.recipient, s.stored.seq, s.id),
	} {
		if err := st.batch.Delete(old, nil); err != nil {
			return err
		}
	}
	return st.writeMessage(m, s.location)
}

// writeMessage writes the body, location and listing rows of a message. It does not modify m, because its call may still be
// rejected.
func (st *stagedBatch) writeMessage(m *esh3ar.Message, where location) error {
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
