package postgres

import (
	"context"
	"encoding/hex"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// Every step is a short indexed statement on rows that are no longer written, so it locks nothing that the hot path needs.

// readFinished walks messages by id, which means by creation time.
var readFinished = statement{"walk_finished", `SELECT id, business, send_at <> 0, status, steps, revision FROM messages WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`}

// purge deletes messages that still have the given revision. Their events stay: they have their own retention.
var purge = statement{"purge", `
WITH gone AS (
	DELETE FROM messages m USING unnest($1::uuid[], $2::integer[]) u(id, revision) WHERE m.id = u.id AND m.revision = u.revision
	RETURNING m.id, m.business, m.status
), letters AS (DELETE FROM dead_letters d USING gone g WHERE g.status = 6 AND d.business = g.business AND d.id = g.id
), due AS (DELETE FROM tasks t USING gone g WHERE t.id = g.id)
SELECT count(*) FROM gone`}

// Purge implements esh3ar.RetentionStore.
func (s *Store) Purge(ctx context.Context, served esh3ar.RetentionCutoffs, next string, limit int) (purged int, following string, err error) {
	lower, upper, _ := idRange(0, max(served.Latest(), 1))
	if next != "" {
		if lower, err = parseIDCursor(next); err != nil {
			return 0, "", err
		}
	}
	ids, revisions, last, err := s.finished(ctx, &served, lower, upper, limit)
	if err != nil {
		return 0, "", readError("walk finished messages", err)
	}
	if len(ids) > 0 {
		if err := s.query(ctx, purge, func(rows pgx.Rows) error { return rows.Scan(&purged) }, uuids(ids), revisions); err != nil {
			return 0, "", writeError("purge", err)
		}
		for _, id := range ids {
			s.cache.remove(id)
		}
	}
	return purged, last, nil
}

// finished returns messages past their retention. last is the cursor at which to continue, empty at the end.
func (s *Store) finished(ctx context.Context, served *esh3ar.RetentionCutoffs, lower, upper [16]byte, limit int) (ids []esh3ar.MessageID, revisions []int32, last string, err error) {
	walked := 0
	err = s.query(ctx, readFinished, func(rows pgx.Rows) error {
		var id esh3ar.MessageID
		var business esh3ar.BusinessID
		var scheduled bool
		var status esh3ar.Status
		var steps []byte
		var revision int32
		if len(ids) == limit {
			return nil
		}
		if err := rows.Scan((*[16]byte)(&id.UUID), (*[16]byte)(&business.UUID), &scheduled, &status, &steps, &revision); err != nil {
			return err
		}
		walked++
		last = hex.EncodeToString(id.UUID[:])
		done, err := lifecycle.Decode(steps, id, scheduled)
		// Unreadable steps are left to `esh3ar verify`.
		if err == nil && status.Ends() && done.EndedBefore(served.For(business)) {
			ids, revisions = append(ids, id), append(revisions, revision)
		}
		return nil
	}, lower, upper, walkLimit)
	if walked < walkLimit && len(ids) < limit {
		last = ""
	}
	return ids, revisions, last, err
}

// trimBatch bounds the rows of the log deleted by one statement.
const trimBatch = 200

// trimEvents deletes whole positions from the start of the log while all their events are old, and records the new start.
var trimEvents = statement{"trim_events", `
WITH oldest AS (
	SELECT pos, max(happened) AS happened, sum(count) AS count, bool_and(max(happened) < $1) OVER (ORDER BY pos) AS old
	FROM events WHERE pos >= (SELECT min(pos) FROM events) AND pos <= (SELECT max(pos) FROM (SELECT pos FROM events ORDER BY pos LIMIT $2) o)
		AND pos < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
	GROUP BY pos
), gone AS (SELECT pos, happened, count FROM oldest WHERE old
), deleted AS (DELETE FROM events WHERE pos >= (SELECT min(pos) FROM gone) AND pos <= (SELECT max(pos) FROM gone)
), noted AS (
	INSERT INTO events_trimmed AS t (pos, count, since)
	SELECT pos, count, (SELECT max(happened) FROM gone) FROM gone ORDER BY pos DESC LIMIT 1
	ON CONFLICT (only_row) DO UPDATE SET pos = excluded.pos, count = excluded.count, since = greatest(t.since, excluded.since) WHERE excluded.pos > t.pos
)
SELECT count(*) FROM gone`}

// TrimEvents implements esh3ar.Janitor.
func (s *Store) TrimEvents(ctx context.Context, before esh3ar.Time) (more bool, err error) {
	gone := 0
	err = s.query(ctx, trimEvents, func(rows pgx.Rows) error { return rows.Scan(&gone) }, int64(before), trimBatch)
	if err != nil {
		return false, writeError("trim event log", err)
	}
	return gone > 0, nil
}

// keyBatch bounds the keys deleted by one statement.
const keyBatch = 2000

var forgetKeys = statement{"forget_keys", `DELETE FROM idempotency_keys WHERE (business, key) IN (
	SELECT business, key FROM idempotency_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) AND expires_at < $1`}

// DeleteExpiredKeys implements esh3ar.RetentionStore.
func (s *Store) DeleteExpiredKeys(ctx context.Context, expiredBefore esh3ar.Time) error {
	for {
		tag, err := s.exec(ctx, forgetKeys, int64(expiredBefore), keyBatch)
		if err != nil {
			return writeError("forget keys", err)
		}
		if tag.RowsAffected() < keyBatch {
			return nil
		}
	}
}
