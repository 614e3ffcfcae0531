package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// recordColumns are the columns that scanRecord reads, of table messages as m.
const recordColumns = `m.id, m.recipient, m.business, m.lane, m.sender, m.subject, m.content, m.correlation_id, m.metadata, m.send_at, m.ttl,
	coalesce(m.seq, 0), m.expires_at, m.steps`

// scanRecord decodes a row of recordColumns.
func scanRecord(rows pgx.Rows) (esh3ar.Record, error) {
	var r esh3ar.Record
	var ttl int64
	var steps []byte
	if err := rows.Scan((*[16]byte)(&r.ID.UUID), &r.Recipient, (*[16]byte)(&r.Business.UUID), &r.Priority, &r.From, &r.Subject, &r.Content, &r.CorrelationID,
		&r.Metadata, &r.SendAt, &ttl, &r.Seq, &r.ExpiresAt, &steps); err != nil {
		return r, err
	}
	r.TTL = time.Duration(ttl) * time.Second
	done, err := lifecycle.Decode(steps, r.ID, !r.SendAt.IsZero())
	if err != nil {
		return r, fmt.Errorf("message %s: %w; run `esh3ar verify`", r.ID, err)
	}
	r.Progress = done.Progress(r.SendAt)
	return r, nil
}

// records runs a statement that returns recordColumns.
func (s *Store) records(ctx context.Context, st statement, args ...any) (records []esh3ar.Record, err error) {
	err = s.query(ctx, st, func(rows pgx.Rows) error {
		r, err := scanRecord(rows)
		if err == nil {
			records = append(records, r)
		}
		return err
	}, args...)
	return records, err
}

// readPending reads the lanes and the counter in one statement, so in one snapshot. Every row contains the counter. If the
// inbox is empty, there is one row with the counter only.
var readPending = statement{"pending", `
SELECT coalesce((SELECT c.seq FROM counters c WHERE c.recipient = $1), 0), m.id IS NOT NULL, ` + recordColumns + `
FROM (VALUES (1)) one
LEFT JOIN (
	(SELECT 0 AS nth, i.* FROM inbox i WHERE i.recipient = $1 AND i.lane = 3 AND i.seq > $2 ORDER BY i.seq LIMIT $6)
	UNION ALL (SELECT 1, i.* FROM inbox i WHERE i.recipient = $1 AND i.lane = 2 AND i.seq > $3 ORDER BY i.seq LIMIT $6)
	UNION ALL (SELECT 2, i.* FROM inbox i WHERE i.recipient = $1 AND i.lane = 1 AND i.seq > $4 ORDER BY i.seq LIMIT $6)
	UNION ALL (SELECT 3, i.* FROM inbox i WHERE i.recipient = $1 AND i.lane = 0 AND i.seq > $5 ORDER BY i.seq LIMIT $6)
) w ON true
LEFT JOIN messages m ON m.id = w.id AND m.recipient = w.recipient
ORDER BY w.nth, w.seq LIMIT $6`}

// Pending implements esh3ar.InboxReader.
func (s *Store) Pending(ctx context.Context, q esh3ar.InboxQuery) (esh3ar.InboxPage, error) {
	var page esh3ar.InboxPage
	var after [esh3ar.Priorities]int64
	page.Ended = true
	for p := range after {
		after[p] = int8Of(q.After[p])
		if q.Skip[p] {
			after[p] = math.MaxInt64
			page.Ended = false
		}
	}
	size := 0
	over := false
	err := s.query(ctx, readPending, func(rows pgx.Rows) error {
		// The second column is false if the row contains the counter only.
		if found := rows.RawValues()[1]; len(found) == 1 && found[0] == 0 {
			return rows.Scan(append([]any{&page.Counter}, make([]any, len(rows.FieldDescriptions())-1)...)...)
		}
		r, err := scanRecord(prefixed{rows, []any{&page.Counter, nil}})
		if err != nil {
			return err
		}
		size += r.Size()
		if over || len(page.Records) == q.Limit || len(page.Records) > 0 && size > q.Bytes {
			page.Ended, over = false, true
			return nil
		}
		page.Records = append(page.Records, r)
		return nil
	}, int64(q.Recipient), after[3], after[2], after[1], after[0], q.Limit+1)
	if err != nil {
		return esh3ar.InboxPage{}, readError("read inbox", err)
	}
	return page, nil
}

// int8Of converts a seq to a bigint argument. No message has a seq above the range.
func int8Of(seq esh3ar.Seq) int64 { return int64(min(seq, math.MaxInt64)) }

// prefixed is a row whose first columns are scanned into first, before the targets of Scan.
type prefixed struct {
	pgx.Rows
	first []any
}

// Scan implements pgx.Rows.
func (p prefixed) Scan(rest ...any) error { return p.Rows.Scan(append(p.first, rest...)...) }

var readSince = statement{"since", `SELECT ` + recordColumns + ` FROM messages m
	WHERE m.recipient = $1 AND m.seq > $2 AND m.seq <= $4 AND m.status NOT IN (4, 5) ORDER BY m.seq LIMIT $3`}

// Since implements esh3ar.InboxReader.
func (s *Store) Since(ctx context.Context, r esh3ar.Recipient, after, until esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	last := int64(math.MaxInt64)
	if until != 0 {
		last = int8Of(until)
	}
	records, err := s.records(ctx, readSince, int64(r), int8Of(after), limit, last)
	if err != nil {
		return nil, readError("read messages since", err)
	}
	return records, nil
}

var readCounters = statement{"counters", `SELECT recipient, seq FROM counters WHERE recipient = ANY ($1)`}

// Counters implements esh3ar.InboxReader.
func (s *Store) Counters(ctx context.Context, rs []esh3ar.Recipient) ([]esh3ar.Seq, error) {
	if len(rs) == 0 {
		return nil, nil
	}
	raw := make([]int64, len(rs))
	for i, r := range rs {
		raw[i] = int64(r)
	}
	found := make(map[esh3ar.Recipient]esh3ar.Seq, len(rs))
	err := s.query(ctx, readCounters, func(rows pgx.Rows) error {
		var r esh3ar.Recipient
		var seq esh3ar.Seq
		if err := rows.Scan(&r, &seq); err != nil {
			return err
		}
		found[r] = seq
		return nil
	}, raw)
	if err != nil {
		return nil, readError("read counters", err)
	}
	seqs := make([]esh3ar.Seq, len(rs))
	for i, r := range rs {
		seqs[i] = found[r]
	}
	return seqs, nil
}

// walkLimit bounds the rows visited by one call.
const walkLimit = 5000

var readQueued = statement{"queued", `SELECT i.recipient, i.lane, i.seq, i.id, m.life, m.status = 1
	FROM (SELECT * FROM inbox WHERE (recipient, lane, seq) > ($1, $2, $3) ORDER BY recipient, lane, seq LIMIT $4) i
	LEFT JOIN messages m ON m.id = i.id AND m.recipient = i.recipient ORDER BY i.recipient, i.lane, i.seq`}

// Queued implements esh3ar.InboxReader.
func (s *Store) Queued(ctx context.Context, before esh3ar.Time, next string, limit int) (refs []esh3ar.MessageRef, following string, err error) {
	recipient, lane, seq := int64(0), int64(0), int64(0)
	if next != "" {
		if _, err := fmt.Sscanf(next, "%d/%d/%d", &recipient, &lane, &seq); err != nil {
			return nil, "", esh3ar.Errorf(esh3ar.Invalid, "cursor %q was not returned by this walk", next)
		}
	}
	walked := 0
	err = s.query(ctx, readQueued, func(rows pgx.Rows) error {
		var ref esh3ar.MessageRef
		var life *int64
		var queued *bool
		if len(refs) == limit {
			return nil
		}
		walked++
		if err := rows.Scan(&recipient, &lane, &seq, (*[16]byte)(&ref.ID.UUID), &life, &queued); err != nil {
			return err
		}
		if queued != nil && *queued && ref.ID.CreatedAt() < before {
			ref.Recipient = esh3ar.Recipient(recipient)
			ref.Seq = esh3ar.Seq(seq)
			ref.Life = esh3ar.Life(*life)
			refs = append(refs, ref)
		}
		return nil
	}, recipient, lane, seq, walkLimit)
	if err != nil {
		return nil, "", readError("walk inboxes", err)
	}
	if walked == walkLimit || len(refs) == limit {
		following = fmt.Sprintf("%d/%d/%d", recipient, lane, seq)
	}
	return refs, following, nil
}
