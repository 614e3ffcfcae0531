package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// eachEvent calls look for every event of the log, and damaged for every row that cannot be decoded.
func (w *walk) eachEvent(ctx context.Context, tx pgx.Tx, look func(*lifecycle.Entry), damaged func(pos, xid int64)) error {
	rows, err := tx.Query(ctx, `SELECT pos, xid, count, entries FROM events ORDER BY pos, xid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var pos, xid int64
		var count int
		var rest []byte
		if err := rows.Scan(&pos, &xid, &count, &rest); err != nil {
			return err
		}
		var entries []lifecycle.Entry
		for err == nil && len(rest) > 0 {
			var e lifecycle.Entry
			if e, rest, err = lifecycle.DecodeEntry(rest); err == nil {
				entries = append(entries, e)
			}
		}
		if err != nil || len(entries) != count {
			err = nil
			damaged(pos, xid)
			continue
		}
		for i := range entries {
			look(&entries[i])
		}
	}
	return rows.Err()
}

// events subtracts the events of the log from the sums.
func (w *walk) events(ctx context.Context, tx pgx.Tx) error {
	return w.eachEvent(ctx, tx, func(e *lifecycle.Entry) {
		if e.At > w.logStart {
			b := w.bucket(e.Message)
			w.sums[b] -= w.hash(e.Message, int(e.Version))
			w.counts[b]--
		}
	}, func(pos, xid int64) {
		f := esh3ar.Finding{Check: "events_damaged", Where: fmt.Sprintf("events %d/%d", pos, xid), Detail: "a row of the event log cannot be read"}
		w.finding(f, esh3ar.SetAside, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `WITH gone AS (DELETE FROM events WHERE pos = $1 AND xid = $2 RETURNING *)
				INSERT INTO set_aside (source, finding, row) SELECT 'events', 'events_damaged', to_jsonb(gone) FROM gone`, pos, xid)
			return err
		})
	})
}

// compare checks the messages of buckets whose sums differ. A bucket may also differ because a message was purged before its
// events; then nothing is found.
func (w *walk) compare(ctx context.Context, tx pgx.Tx) error {
	var differ bool
	for b := range w.sums {
		differ = differ || w.sums[b] != 0 || w.counts[b] != 0
	}
	if !differ {
		return nil
	}
	logged := map[esh3ar.MessageID][]uint32{}
	err := w.eachEvent(ctx, tx, func(e *lifecycle.Entry) {
		if w.sums[w.bucket(e.Message)] != 0 {
			logged[e.Message] = append(logged[e.Message], e.Version)
		}
	}, func(int64, int64) {})
	if err != nil {
		return err
	}
	return w.messages(ctx, tx, "", func(m *walkedMessage) {
		if !m.damaged && w.sums[w.bucket(m.id)] != 0 {
			w.history(m, logged[m.id])
		}
	})
}

// history compares the steps of one message with its events.
func (w *walk) history(m *walkedMessage, versions []uint32) {
	var missing []int
	for i := range m.List {
		n := len(versions)
		versions = slices.DeleteFunc(versions, func(v uint32) bool { return v == uint32(i+1) })
		n -= len(versions)
		if n == 0 && m.List[i].At > w.logStart {
			missing = append(missing, i)
		} else if n > 1 {
			w.finding(m.finding("event_repeated", fmt.Sprintf("version %d is in the event log %d times", i+1, n)), "", nil)
		}
	}
	if len(versions) > 0 {
		w.finding(m.finding("event_unknown", fmt.Sprintf("versions %v are in the event log but not among its steps", versions)), "", nil)
	}
	if len(missing) > 0 {
		w.finding(m.finding("event_missing", fmt.Sprintf("%d of its events are not in the event log; the repair appends them", len(missing))), esh3ar.Mended, m.appendEvents(missing))
	}
}

// appendEvents appends the events of some steps to the end of the log.
func (m *walkedMessage) appendEvents(missing []int) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		var entries []byte
		newest := esh3ar.Time(0)
		for _, i := range missing {
			e := m.entry(i)
			entries, newest = e.Append(entries), max(newest, e.At)
		}
		_, err := conn.Exec(ctx, `WITH at AS (UPDATE messages m SET pos = greatest(m.pos, pg_current_xact_id()::text::bigint), revision = revision + 1
				WHERE m.id = $1 AND m.revision = $2 RETURNING m.pos)
			INSERT INTO events (pos, xid, count, happened, entries) SELECT pos, pg_current_xact_id()::text::bigint, $3, $4, $5 FROM at`,
			[16]byte(m.id.UUID), m.revision, len(missing), int64(newest), entries)
		return err
	}
}
