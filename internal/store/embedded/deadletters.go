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

// DeadLetters implements esh3ar.DeadLetters.
func (s *Store) DeadLetters(_ context.Context, q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
	lower, upper, err := deadLetterBounds(&q)
	if err != nil || upper != nil && bytes.Compare(lower, upper) >= 0 {
		return esh3ar.ListPage{}, err
	}
	v, err := s.acquireView()
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

// deadLetterBounds returns the key range of a listing of dead letters; upper is nil if there is no upper bound.
func deadLetterBounds(q *esh3ar.DeadLetterQuery) (lower, upper []byte, err error) {
	prefix := append([]byte{deadLetterKey}, q.Business.UUID[:]...)
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
	if err != nil || len(at) != deadLetterKeyLen-17 {
		return nil, nil, esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by a listing", q.Cursor)
	}
	if seen := append(prefix, at...); upper == nil || bytes.Compare(seen, upper) < 0 {
		upper = seen
	}
	return lower, upper, nil
}

func deadLetters(v *view, q *esh3ar.DeadLetterQuery, lower, upper []byte) (esh3ar.ListPage, error) {
	var page esh3ar.ListPage
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return page, err
	}
	defer it.Close()
	walked := 0
	last := ""
	for valid := it.Last(); valid; valid = it.Prev() {
		walked++
		if len(page.Records) >= q.Limit || walked > walkLimit {
			page.NextCursor = last
			return page, nil
		}
		_, _, id, ok := parseDeadLetter(it.Key())
		if !ok {
			return page, fmt.Errorf("dead letter %x: %w", it.Key(), codec.ErrDamaged)
		}
		last = hex.EncodeToString(it.Key()[17:])
		if isDiscarded(it.Value()) {
			continue
		}
		record, ok, err := recordByID(v, id)
		if err != nil {
			return page, err
		}
		if ok && matchesDeadLetter(&record, q) {
			page.Records = append(page.Records, record)
		}
	}
	return page, it.Error()
}

func matchesDeadLetter(r *esh3ar.Record, q *esh3ar.DeadLetterQuery) bool {
	return (q.Recipient == 0 || q.Recipient == r.Recipient) && (q.CorrelationID == "" || q.CorrelationID == r.CorrelationID) &&
		(q.Reason == "" || q.Reason == r.Reason)
}

// recordByID returns a message with its progress, and whether it exists.
func recordByID(v *view, id esh3ar.MessageID) (record esh3ar.Record, ok bool, err error) {
	where, ok, err := readLocation(v.snapshot, id)
	if err != nil || !ok {
		return record, false, err
	}
	return readRecord(v.snapshot, where.recipient, where.seq, id)
}

// DeadLetter implements esh3ar.DeadLetters.
func (s *Store) DeadLetter(_ context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) (esh3ar.Record, error) {
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.Record{}, err
	}
	defer v.release()
	record, ok, err := recordByID(v, id)
	if err == nil && ok && record.Business == business && record.Status == esh3ar.Failed {
		row, err := v.get(appendDeadLetter(nil, business, record.EndedAt, id))
		if err != nil {
			return esh3ar.Record{}, readError("read dead letter", err)
		}
		if row != nil && !isDiscarded(row) {
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

// Discard implements esh3ar.DeadLetters.
func (s *Store) Discard(ctx context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) error {
	return s.write(ctx, func(st *stagedBatch) error {
		m, err := st.load(id)
		if err != nil {
			return st.fail(err)
		}
		if m == nil || m.purged || m.business != business {
			return noDeadLetter(id)
		}
		dead, err := st.isDeadLetter(m)
		if err != nil {
			return st.fail(err)
		}
		if !dead {
			return noDeadLetter(id)
		}
		m.discarded = true
		return nil
	})
}
