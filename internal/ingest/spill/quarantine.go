package spill

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// Quarantined is a call that the store does not take, or whose row is damaged.
type Quarantined struct {
	At     esh3ar.Time // when it moved to the quarantine
	Reason string
	Call   *esh3ar.Call // nil if the row is damaged
	Row    []byte       // the row as it was in the queue
}

// moveToQuarantine moves an entry of the queue to the quarantine; e.err is the reason.
func (s *Spill) moveToQuarantine(e *entry) error {
	if err := s.lockWriter(context.Background()); err != nil {
		return err
	}
	defer s.unlockWriter()
	row, err := s.get(appendPosition(nil, callKey, e.position))
	if err != nil {
		return readError(err)
	}
	if row == nil {
		return nil // it is there already
	}
	value := quarantineRow(s.now(), e.err.Error(), row)
	batch := s.db.NewBatch()
	defer s.closeBatch(batch)
	err = errors.Join(
		batch.Set(appendPosition(nil, quarantineKey, e.position), value, nil),
		batch.Delete(appendPosition(nil, callKey, e.position), nil),
	)
	if err != nil {
		return readError(err)
	}
	if err := s.commit(batch, pebble.Sync); err != nil {
		return err
	}
	s.index.quarantine(e, len(value)-len(row))
	s.stats.quarantined.Add(1)
	s.opts.Log.Error("an accepted call cannot be stored and is in quarantine: look at it with `esh3ar spill list`",
		"messages", messageIDs(e.call), "reason", e.err)
	return nil
}

// messageIDs returns the ids of the call's first ten messages, for a log line; none if c is nil.
func messageIDs(c *esh3ar.Call) (ids []string) {
	if c == nil {
		return nil
	}
	for _, m := range c.Messages[:min(len(c.Messages), 10)] {
		ids = append(ids, m.ID.String())
	}
	return ids
}

// Quarantine visits the calls in quarantine, oldest first, until visit returns false.
func (s *Spill) Quarantine(visit func(Quarantined) (more bool)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	err := s.walk(quarantineKey, 0, func(_ position, value []byte) bool {
		var q Quarantined
		var err error
		q.At, q.Reason, q.Row, err = decodeQuarantineRow(value)
		if err != nil {
			q.Reason, q.Row = err.Error(), value
		}
		q.Row = append([]byte{}, q.Row...)
		q.Call, err = decodeCall(q.Row)
		if err != nil {
			q.Call = nil
		}
		return visit(q)
	})
	if err != nil {
		return readError(err)
	}
	return nil
}

// Readmit moves the readable calls in quarantine to the end of the queue and returns their number. An operator uses it after the cause
// for the store's refusal is removed.
func (s *Spill) Readmit(ctx context.Context) (readmitted int, err error) {
	for {
		n, err := s.readmitBatch(ctx)
		readmitted += n
		if err != nil || n == 0 {
			return readmitted, err
		}
	}
}

// readmitBatch moves the oldest calls in quarantine, up to drainBytes.
func (s *Spill) readmitBatch(ctx context.Context) (int, error) {
	if err := s.lockWriter(ctx); err != nil {
		return 0, err
	}
	defer s.unlockWriter()
	b := s.newBatchBuilder()
	defer s.closeBatch(b.batch)
	var quarantineSizes []int // size of each moved call's row in quarantine
	var failed error
	err := s.walk(quarantineKey, 0, func(p position, value []byte) bool {
		_, _, row, err := decodeQuarantineRow(value)
		if err != nil {
			return true
		}
		call, err := decodeCall(row)
		if err != nil {
			return true
		}
		failed = b.move(p, call, row)
		quarantineSizes = append(quarantineSizes, positionKeyLen+len(value))
		return failed == nil && b.size < drainBytes
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, readError(err)
	}
	if len(b.calls) == 0 {
		return 0, nil
	}
	if err := s.commit(b.batch, pebble.Sync); err != nil {
		return 0, err
	}
	for i, c := range b.calls {
		s.index.add(c, b.sizes[i])
		s.index.removeQuarantined(quarantineSizes[i])
	}
	s.index.advance(b.nextPosition())
	s.signalGrown()
	return len(b.calls), nil
}

// move adds a call's move from the quarantine to the end of the queue to the batch. If the call still owns its idempotency key, the key
// row follows it.
func (b *batchBuilder) move(from position, c *esh3ar.Call, row []byte) error {
	to := b.nextPosition()
	err := errors.Join(
		b.batch.Set(appendPosition(nil, callKey, to), row, nil),
		b.batch.Delete(appendPosition(nil, quarantineKey, from), nil),
	)
	if err != nil {
		return err
	}
	b.count(c, positionKeyLen+len(row))
	if c.Key == nil {
		return nil
	}
	key := keyHashOf(c).append(nil)
	pointer, err := b.spill.get(key)
	if err != nil || len(pointer) != positionKeyLen || parsePosition(pointer) != from {
		return err
	}
	return b.batch.Set(key, appendPosition(nil, callKey, to), nil)
}
