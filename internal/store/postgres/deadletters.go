package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/esh3artech/esh3ar"
)

var readDeadLetters = statement{"dead_letters", `SELECT ` + recordColumns + ` FROM dead_letters d JOIN messages m ON m.id = d.id
	WHERE d.business = $1 AND d.failed_at >= $2 AND (d.failed_at, d.id) < ($3, $4) ORDER BY d.failed_at DESC, d.id DESC LIMIT $5`}

// DeadLetters implements esh3ar.DeadLetters.
func (s *Store) DeadLetters(ctx context.Context, q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
	var page esh3ar.ListPage
	until, before, err := deadLetterBound(&q)
	if err != nil {
		return page, err
	}
	for walked := 0; ; {
		n := min(listBatch, max(q.Limit+1, 50))
		records, err := s.records(ctx, readDeadLetters, [16]byte(q.Business.UUID), int64(q.From), until, before, n)
		if err != nil {
			return esh3ar.ListPage{}, readError("list dead letters", err)
		}
		for i := range records {
			walked++
			if len(page.Records) >= q.Limit || walked > walkLimit {
				page.NextCursor = fmt.Sprintf("%016x%x", until, before)
				return page, nil
			}
			r := &records[i]
			until, before = int64(r.EndedAt), r.ID.UUID
			if matchesDeadLetter(r, &q) {
				page.Records = append(page.Records, *r)
			}
		}
		if len(records) < n {
			return page, nil
		}
	}
}

// deadLetterBound returns the time and id below which a listing starts.
func deadLetterBound(q *esh3ar.DeadLetterQuery) (until int64, before [16]byte, err error) {
	until = math.MaxInt64
	if q.Until != 0 {
		until = int64(q.Until)
	}
	if q.Cursor == "" {
		return until, before, nil
	}
	var at int64
	var id []byte
	if n, err := fmt.Sscanf(q.Cursor, "%16x%x", &at, &id); err != nil || n != 2 || len(id) != len(before) {
		return 0, before, esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by a listing", q.Cursor)
	}
	if at < until {
		return at, [16]byte(id), nil
	}
	return until, before, nil
}

func matchesDeadLetter(r *esh3ar.Record, q *esh3ar.DeadLetterQuery) bool {
	return (q.Recipient == 0 || q.Recipient == r.Recipient) && (q.CorrelationID == "" || q.CorrelationID == r.CorrelationID) &&
		(q.Reason == "" || q.Reason == r.Reason)
}

var readDeadLetter = statement{"dead_letter", `SELECT ` + recordColumns + ` FROM messages m WHERE m.id = $1 AND m.business = $2 AND m.status = 6 AND NOT m.discarded`}

// DeadLetter implements esh3ar.DeadLetters.
func (s *Store) DeadLetter(ctx context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) (esh3ar.Record, error) {
	records, err := s.records(ctx, readDeadLetter, [16]byte(id.UUID), [16]byte(business.UUID))
	if err != nil {
		return esh3ar.Record{}, readError("read dead letter", err)
	}
	if len(records) == 0 {
		return esh3ar.Record{}, noDeadLetter(id)
	}
	return records[0], nil
}

func noDeadLetter(id esh3ar.MessageID) error {
	return esh3ar.Errorf(esh3ar.NotFound, "no dead letter %s", id)
}

// Discard implements esh3ar.DeadLetters.
func (s *Store) Discard(ctx context.Context, business esh3ar.BusinessID, id esh3ar.MessageID) error {
	found := false
	err := withRetry(ctx, func(int) error {
		rows, err := s.readRows(ctx, []esh3ar.MessageID{id})
		if err != nil {
			return &notSent{err}
		}
		r := &settleAttempt{rows: map[esh3ar.MessageID]*rowUpdate{}}
		for _, m := range rows {
			found = m.business == business && m.deadLetterAt() != 0
			if found {
				r.add(m)
				r.rows[id].after.discarded = true
			}
		}
		return s.commit(ctx, r)
	})
	if err != nil {
		return writeError("discard dead letter", err)
	}
	if !found {
		return noDeadLetter(id)
	}
	return nil
}
