package embedded

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// DeadLetters realises esh3ar.DeadLetters.
func (s *Store) DeadLetters(_ context.Context, q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
	lower, upper, err := deadBounds(&q)
	if err != nil || upper != nil && bytes.Compare(lower, upper) >= 0 {
		return esh3ar.ListPage{}, err
	}
	v, err := s.read()
	if err != nil {
		return esh3ar.ListPage{}, err
	}
	defer v.release()
	page, err := deadLetters(v, &q, lower, upper)
	if err != nil {
		return esh3ar.ListPage{}, readError("list dead letters", err)
	}
	return page, nil
}

func deadBounds(q *esh3ar.DeadLetterQuery) (lower, upper []byte, err error) {
	prefix := append([]byte{deadKey}, q.Business.UUID[:]...)
	lower, upper = slices.Clone(prefix), successor(prefix)
	if q.From > 0 {
		lower = appendUint64(lower, uint64(q.From))
	}
	if q.Until != 0 {
		upper = appendUint64(slices.Clone(prefix), uint64(max(q.Until, 0)))
	}
	if q.Cursor == "" {
		return lower, upper, nil
	}
	at, err := hex.DecodeString(q.Cursor)
	if err != nil || len(at) != deadKeyLen-17 {
		return nil, nil, esh3ar.Errorf(esh3ar.Invalid, "cursor %q is not one that a listing gave", q.Cursor)
	}
	if seen := append(prefix, at...); upper == nil || bytes.Compare(seen, upper) < 0 {
		upper = seen
	}
	return lower, upper, nil
}

func deadLetters(v *view, q *esh3ar.DeadLetterQuery, lower, upper []byte) (page esh3ar.ListPage, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return page, err
	}
	defer it.Close()
	walked, last := 0, ""
	for valid := it.Last(); valid; valid = it.Prev() {
		if walked++; len(page.Records) >= q.Limit || walked > walkLimit {
			page.NextCursor = last
			return page, nil
		}
		_, _, id, ok := parseDead(it.Key())
		if !ok {
			return page, fmt.Errorf("dead letter %x: %w", it.Key(), codec.ErrDamaged)
		}
		last = hex.EncodeToString(it.Key()[17:])
		if discarded(it.Value()) {
			continue
		}
		record, ok, err := recordByID(v, id)
		if err != nil {
			return page, err
		}
		if ok && deadMatches(&record, q) {
			page.Records = append(page.Records, record)
		}
	}
	return page, it.Error()
}

func deadMatches(r *esh3ar.Record, q *esh3ar.DeadLetterQuery) bool {
	return (q.Recipient == 0 || q.Recipient == r.Recipient) && (q.CorrelationID == "" || q.CorrelationID == r.CorrelationID) &&
		(q.Reason == "" || q.Reason == r.Reason)
}

// recordByID reads a message; ok tells whether it is there.
func recordByID(v *view, id esh3ar.MessageID) (record esh3ar.Record, ok bool, err error) {
	where, ok, err := readPlace(v.snapshot, id)
	if err != nil || !ok {
		return record, false, err
	}
	return readRecord(v.snapshot, where.recipient, where.seq, id)
}

// DeadLetter realises esh3ar.DeadLetters.
func (s *Store) DeadLetter(_ context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) (esh3ar.Record, error) {
	v, err := s.read()
	if err != nil {
		return esh3ar.Record{}, err
	}
	defer v.release()
	record, ok, err := recordByID(v, id)
	if err == nil && ok && record.Business == business && record.Status == esh3ar.Failed {
		row, err := v.get(appendDead(nil, business, record.EndedAt, id))
		if err != nil {
			return esh3ar.Record{}, readError("read dead letter", err)
		}
		if row != nil && !discarded(row) {
			return record, nil
		}
	}
	if err != nil {
		return esh3ar.Record{}, readError("read dead letter", err)
	}
	return esh3ar.Record{}, noDeadLetter(id)
}

func noDeadLetter(id esh3ar.MessageID) error {
	return esh3ar.Errorf(esh3ar.NotFound, "no dead letter %s", id)
}

// Discard realises esh3ar.DeadLetters.
func (s *Store) Discard(ctx context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) error {
	return s.write(ctx, func(st *staging) error {
		m, err := st.load(id)
		if err != nil {
			return st.fail(err)
		}
		if m == nil || m.gone || m.business != business {
			return noDeadLetter(id)
		}
		dead, err := st.isDead(m)
		if err != nil {
			return st.fail(err)
		}
		if !dead {
			return noDeadLetter(id)
		}
		m.discard = true
		return nil
	})
}
