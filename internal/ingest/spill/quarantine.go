package spill

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// Quarantined is a call that the store will not take, or whose row is damaged.
type Quarantined struct {
	At     esh3ar.Time // when it got there
	Reason string
	Call   *esh3ar.Call // nil: damaged
	Row    []byte       // as it was kept
}

// setAside moves an entry to the quarantine, row and all.
func (s *Spill) setAside(e *entry) error {
	if err := s.begin(context.Background()); err != nil {
		return err
	}
	defer s.end()
	row, err := s.get(appendPosition(nil, callKey, e.position))
	if err != nil {
		return readError(err)
	}
	if row == nil {
		return nil // it is there already
	}
	value := asideRow(s.now(), e.damage.Error(), row)
	batch := s.db.NewBatch()
	defer s.release(batch)
	err = errors.Join(
		batch.Set(appendPosition(nil, asideKey, e.position), value, nil),
		batch.Delete(appendPosition(nil, callKey, e.position), nil),
	)
	if err != nil {
		return readError(err)
	}
	if err := s.commit(batch, pebble.Sync); err != nil {
		return err
	}
	s.held.setAside(e, len(value)-len(row))
	s.stats.quarantined.Add(1)
	s.opts.Log.Error("an accepted call cannot be stored and is in quarantine: look at it with `esh3ar spill list`",
		"messages", messageIDs(e.call), "reason", e.damage)
	return nil
}

// messageIDs names a call in a log: the first of its messages, and how many there are.
func messageIDs(c *esh3ar.Call) (ids []string) {
	if c == nil {
		return nil
	}
	for _, m := range c.Messages[:min(len(c.Messages), 10)] {
		ids = append(ids, m.ID.String())
	}
	return ids
}

// Quarantine visits the calls in quarantine, oldest first, until visit wants no more.
func (s *Spill) Quarantine(visit func(Quarantined) (more bool)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inside.Leave()
	err := s.walk(asideKey, 0, func(_ position, value []byte) bool {
		var q Quarantined
		var err error
		if q.At, q.Reason, q.Row, err = decodeAside(value); err != nil {
			q.Reason, q.Row = err.Error(), value
		}
		q.Row = append([]byte{}, q.Row...)
		if q.Call, err = decodeCall(q.Row); err != nil {
			q.Call = nil
		}
		return visit(q)
	})
	if err != nil {
		return readError(err)
	}
	return nil
}

// Readmit moves the calls in quarantine that can be read to the end of the queue, for an operator who has removed what kept
// the store from taking them. It tells how many there were.
func (s *Spill) Readmit(ctx context.Context) (readmitted int, err error) {
	for {
		n, err := s.readmit(ctx)
		if readmitted += n; err != nil || n == 0 {
			return readmitted, err
		}
	}
}

// readmit moves the oldest ones, as many as make one batch of the drain.
func (s *Spill) readmit(ctx context.Context) (int, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	st := s.newStaging()
	defer s.release(st.batch)
	var left []int // bytes of the rows in quarantine
	var failed error
	err := s.walk(asideKey, 0, func(p position, value []byte) bool {
		_, _, row, err := decodeAside(value)
		if err != nil {
			return true
		}
		call, err := decodeCall(row)
		if err != nil {
			return true
		}
		failed = st.move(p, call, row)
		left = append(left, positionKeyLen+len(value))
		return failed == nil && st.size < drainBytes
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, readError(err)
	}
	if len(st.calls) == 0 {
		return 0, nil
	}
	if err := s.commit(st.batch, pebble.Sync); err != nil {
		return 0, err
	}
	for i, c := range st.calls {
		s.held.add(c, st.sizes[i])
		s.held.leaveQuarantine(left[i])
	}
	s.held.advance(st.first + position(len(st.calls)))
	s.signal()
	return len(st.calls), nil
}

// move stages a call's way from the quarantine to the end of the queue; its key goes with it if it still has it.
func (st *staging) move(from position, c *esh3ar.Call, row []byte) error {
	to := st.first + position(len(st.calls))
	if err := errors.Join(st.batch.Set(appendPosition(nil, callKey, to), row, nil), st.batch.Delete(appendPosition(nil, asideKey, from), nil)); err != nil {
		return err
	}
	size := positionKeyLen + len(row)
	st.calls, st.sizes, st.size = append(st.calls, c), append(st.sizes, size), st.size+size
	if c.Key == nil {
		return nil
	}
	key := scopeOf(c).append(nil)
	pointer, err := st.spill.get(key)
	if err != nil || len(pointer) != positionKeyLen || parsePosition(pointer) != from {
		return err
	}
	return st.batch.Set(key, appendPosition(nil, callKey, to), nil)
}

func (h *held) leaveQuarantine(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows.Add(-1)
	h.mu.aside--
	h.mu.bytes -= int64(size)
}
