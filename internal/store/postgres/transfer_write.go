package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
)

// transferTables are the tables that a copy fills, with their columns, in the order in which they are written.
var transferTables = []struct {
	name    string
	columns []string
}{
	{"settings", []string{"name", "value"}},
	{"plans", []string{"name", "rate", "burst", "daily_quota", "concurrent", "level", "retention", "updated_at", "inbox_limit", "recipient_rate", "recipient_burst"}},
	{"businesses", []string{"id", "name", "plan", "created_at"}},
	{"api_keys", []string{"id", "business", "hash", "created_at", "revoked_at"}},
	{"usage", []string{"business", "day", "messages", "refused"}},
	{"token_revocations", []string{"recipient", "device", "version", "revoked_at"}},
	{"counters", []string{"recipient", "seq"}},
	{"messages", []string{
		"id", "recipient", "business", "lane", "sender", "subject", "content", "correlation_id", "metadata", "send_at", "ttl", "seq", "expires_at",
		"life", "status", "attempts", "version", "steps", "discarded", "pos",
	}},
	{"inbox", []string{"recipient", "lane", "seq", "id"}},
	{"dead_letters", []string{"business", "failed_at", "id"}},
	{"tasks", []string{"id", "kind", "due", "recipient", "life"}},
	{"idempotency_keys", []string{"business", "key", "fingerprint", "expires_at", "batch", "ids", "seqs", "recipients", "correlations"}},
	{"events_trimmed", []string{"pos", "count", "since"}},
}

// transferLeft are the tables that a copy leaves alone: what they hold belongs to the cluster, or is written apart.
var transferLeft = []string{"events", "token_revocation_version", "scaling", "scaling_diary", "set_aside", "schema_versions"}

const (
	transferRows  = 2000    // rows that are held back
	transferBytes = 4 << 20 // bytes of messages and events that are held back
	transferGroup = 1000    // events of one position: readers hold a position whole
)

// transferWriter fills an empty store.
type transferWriter struct {
	conn   *pgx.Conn
	rows   map[string][][]any // by table
	events []transfer.Event
	held   int // rows
	bytes  int
	pos    int64 // of the messages: below those of all events that follow
}

// Fill calls fill with a writer of an empty database that nothing else uses.
func (s *Store) Fill(ctx context.Context, fill func(transfer.Writer) error) error {
	return s.alone(ctx, func(conn *pgx.Conn) error {
		w := &transferWriter{conn: conn, rows: map[string][][]any{}}
		if err := conn.QueryRow(ctx, `SELECT pg_current_xact_id()::text::bigint`).Scan(&w.pos); err != nil {
			return writeError("copy", err)
		}
		return fill(w)
	})
}

// Put implements transfer.Writer.
func (w *transferWriter) Put(ctx context.Context, row any) error {
	switch r := row.(type) {
	case transfer.Event:
		w.events = append(w.events, r)
		if len(w.events) < transferGroup {
			return nil
		}
		return w.Flush(ctx)
	case transfer.Revoked:
		_, err := w.conn.Exec(ctx, `UPDATE token_revocation_version SET newest = $1`, int64(r.Version))
		return err
	case transfer.Message:
		w.message(&r)
	default:
		if err := w.small(row); err != nil {
			return err
		}
	}
	if w.held < transferRows && w.bytes < transferBytes {
		return nil
	}
	return w.Flush(ctx)
}

func (w *transferWriter) add(table string, values ...any) {
	w.rows[table] = append(w.rows[table], values)
	w.held++
}

// small adds a row of one table.
func (w *transferWriter) small(row any) error {
	switch r := row.(type) {
	case transfer.Setting:
		w.add("settings", r.Name, r.Value)
	case esh3ar.Plan:
		w.add("plans", r.Name, r.Rate, r.Burst, r.DailyQuota, r.Concurrent, int16(r.Level), int64(r.Retention), int64(r.UpdatedAt), r.InboxLimit, r.RecipientRate, r.RecipientBurst)
	case esh3ar.Business:
		w.add("businesses", [16]byte(r.ID.UUID), r.Name, r.Plan, int64(r.CreatedAt))
	case esh3ar.APIKey:
		w.add("api_keys", [16]byte(r.ID.UUID), [16]byte(r.Business.UUID), r.Hash[:], int64(r.CreatedAt), int64(r.RevokedAt))
	case esh3ar.Usage:
		w.add("usage", [16]byte(r.Business.UUID), int32(r.Day), r.Messages, r.Refused)
	case esh3ar.Revocation:
		w.add("token_revocations", int64(r.Recipient), r.Device, int64(r.Version), int64(r.At))
	case transfer.Counter:
		w.add("counters", int64(r.Recipient), int64(r.Seq))
	case esh3ar.Task:
		w.add("tasks", [16]byte(r.Message.UUID), int16(r.Kind), int64(r.Due), int64(r.Recipient), int32(r.Life))
	case transfer.Key:
		w.key(&r)
	case transfer.Trimmed:
		w.add("events_trimmed", int64(0), int32(0), int64(r.Since))
	default:
		return fmt.Errorf("a row of an unknown kind: %T", row)
	}
	return nil
}

func (w *transferWriter) message(m *transfer.Message) {
	stage := m.Progress.Stage()
	var seq, metadata any
	if m.Seq != 0 {
		seq = int64(m.Seq)
	}
	if len(m.Metadata) > 0 {
		metadata = m.Metadata
	}
	steps := []byte{}
	if len(m.Progress.List) > 1 || m.Progress.Attempts > 0 {
		steps = m.Progress.Append(nil)
	}
	id := [16]byte(m.ID.UUID)
	recipient := int64(m.Recipient)
	business := [16]byte(m.Business.UUID)
	w.add("messages", id, recipient, business, int16(m.Priority), m.From, m.Subject, m.Content, m.CorrelationID, metadata, int64(m.SendAt), int32(m.TTL/time.Second),
		seq, int64(m.ExpiresAt), int32(stage.Life), int16(stage.Status), int32(m.Progress.Attempts), int32(len(m.Progress.List)), steps, m.Discarded, w.pos)
	w.bytes += m.Size()
	if m.Seq != 0 && !stage.Status.Ends() {
		w.add("inbox", recipient, int16(m.Priority), int64(m.Seq), id)
	}
	if failed := m.Progress.FailedAt(); failed != 0 && !m.Discarded {
		w.add("dead_letters", business, int64(failed), id)
	}
}

func (w *transferWriter) key(k *transfer.Key) {
	n := len(k.Receipts)
	ids := make([][16]byte, n)
	seqs := make([]int64, n)
	recipients := make([]int64, n)
	correlations := make([]string, n)
	for i, r := range k.Receipts {
		ids[i] = r.ID.UUID
		seqs[i] = int64(r.Seq)
		recipients[i] = int64(r.Recipient)
		correlations[i] = r.CorrelationID
		w.bytes += len(r.CorrelationID)
	}
	w.add("idempotency_keys", [16]byte(k.Business.UUID), hex.EncodeToString(k.Sum[:]), k.Fingerprint[:], int64(k.ExpiresAt), [16]byte(k.Batch.UUID),
		ids, seqs, recipients, correlations)
}

// Flush implements transfer.Writer: one transaction.
func (w *transferWriter) Flush(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		for _, table := range transferTables {
			if rows := w.rows[table.name]; len(rows) > 0 {
				if _, err := tx.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, pgx.CopyFromRows(rows)); err != nil {
					return fmt.Errorf("%s: %w", table.name, err)
				}
			}
		}
		return w.log(ctx, tx)
	})
	if err != nil {
		return writeError("copy", err)
	}
	clear(w.rows)
	w.events = w.events[:0]
	w.held = 0
	w.bytes = 0
	return nil
}

// log writes the events. They share the transaction's position, in which readers sort them by message: so the next flush, which
// has a higher one, begins with what follows.
func (w *transferWriter) log(ctx context.Context, tx pgx.Tx) error {
	if len(w.events) == 0 {
		return nil
	}
	var entries []byte
	newest := w.events[0].At
	for i := range w.events {
		entries = w.events[i].Append(entries)
		newest = max(newest, w.events[i].At)
	}
	_, err := tx.Exec(ctx, `INSERT INTO events (pos, xid, count, happened, entries)
		VALUES (pg_current_xact_id()::text::bigint, pg_current_xact_id()::text::bigint, $1, $2, $3)`, len(w.events), int64(newest), entries)
	return err
}

// Clear empties the tables that a copy fills, and the event log.
func (s *Store) Clear(ctx context.Context) error {
	return s.alone(ctx, func(conn *pgx.Conn) error {
		names := []string{"events"}
		for _, table := range transferTables {
			names = append(names, table.name)
		}
		slices.Sort(names)
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, name := range names {
				if _, err := tx.Exec(ctx, "TRUNCATE "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `UPDATE token_revocation_version SET newest = 0`)
			return err
		})
		if err != nil {
			return writeError("empty the database", err)
		}
		return nil
	})
}
