package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
)

var _ transfer.Reader = (*Store)(nil)

// transferQuery reads one table for a copy.
type transferQuery struct {
	sql  string
	scan func(rows pgx.Rows) (row any, err error) // nil: nothing to copy
}

// transferQueries read what a copy takes, in its order, but for the event log.
var transferQueries = []transferQuery{
	{`SELECT name, value FROM settings`, func(rows pgx.Rows) (any, error) {
		var s transfer.Setting
		err := rows.Scan(&s.Name, &s.Value)
		return s, err
	}},
	{readPlans.sql, func(rows pgx.Rows) (any, error) {
		p, err := scanPlan(rows)
		return p, err
	}},
	{`SELECT id, name, plan, created_at FROM businesses`, func(rows pgx.Rows) (any, error) {
		var b esh3ar.Business
		err := rows.Scan((*[16]byte)(&b.ID.UUID), &b.Name, &b.Plan, &b.CreatedAt)
		return b, err
	}},
	{`SELECT id, business, hash, created_at, revoked_at FROM api_keys`, func(rows pgx.Rows) (any, error) {
		var k esh3ar.APIKey
		var hash []byte
		err := rows.Scan((*[16]byte)(&k.ID.UUID), (*[16]byte)(&k.Business.UUID), &hash, &k.CreatedAt, &k.RevokedAt)
		copy(k.Hash[:], hash)
		return k, err
	}},
	{`SELECT business, day, messages, refused FROM usage`, func(rows pgx.Rows) (any, error) {
		var u esh3ar.Usage
		err := rows.Scan((*[16]byte)(&u.Business.UUID), &u.Day, &u.Messages, &u.Refused)
		return u, err
	}},
	{`SELECT recipient, device, version, revoked_at FROM token_revocations`, func(rows pgx.Rows) (any, error) {
		var r esh3ar.Revocation
		err := rows.Scan(&r.Recipient, &r.Device, &r.Version, &r.At)
		return r, err
	}},
	{`SELECT newest FROM token_revocation_version WHERE newest > 0`, func(rows pgx.Rows) (any, error) {
		var r transfer.Revoked
		err := rows.Scan(&r.Version)
		return r, err
	}},
	{`SELECT recipient, seq FROM counters`, func(rows pgx.Rows) (any, error) {
		var c transfer.Counter
		err := rows.Scan(&c.Recipient, &c.Seq)
		return c, err
	}},
	{`SELECT id, recipient, business, lane, sender, subject, content, correlation_id, metadata, send_at, ttl, coalesce(seq, 0), expires_at, steps, discarded
		FROM messages ORDER BY id`, scanTransferMessage},
	{`SELECT id, kind, due, recipient, life FROM tasks`, func(rows pgx.Rows) (any, error) {
		var t esh3ar.Task
		err := rows.Scan((*[16]byte)(&t.Message.UUID), &t.Kind, &t.Due, &t.Recipient, &t.Life)
		return t, err
	}},
}

const (
	transferKeys    = `SELECT business, key, fingerprint, expires_at, batch, ids, seqs, recipients, correlations FROM idempotency_keys WHERE expires_at > $1`
	transferTrimmed = `SELECT since FROM events_trimmed`
	transferEvents  = `SELECT pos, entries FROM events ORDER BY pos, xid`
)

// Rows implements transfer.Reader. All is read in one transaction.
func (s *Store) Rows(ctx context.Context, now esh3ar.Time, each func(row any) error) error {
	return s.alone(ctx, func(conn *pgx.Conn) error {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return readError("read all rows", err)
		}
		defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only read
		queries := slices.Concat(transferQueries, []transferQuery{
			{transferKeys, scanTransferKey},
			{transferTrimmed, func(rows pgx.Rows) (any, error) {
				var t transfer.Trimmed
				err := rows.Scan(&t.Since)
				return t, err
			}},
		})
		for _, q := range queries {
			var args []any
			if q.sql == transferKeys {
				args = append(args, int64(now))
			}
			if err := eachRow(ctx, tx, q, each, args...); err != nil {
				return err
			}
		}
		return eachTransferEvent(ctx, tx, each)
	})
}

func eachRow(ctx context.Context, tx pgx.Tx, q transferQuery, each func(row any) error, args ...any) error {
	rows, err := tx.Query(ctx, q.sql, args...)
	if err != nil {
		return readError("read all rows", err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := q.scan(rows)
		if err != nil {
			return readError("read all rows", err)
		}
		if err := each(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return readError("read all rows", err)
	}
	return nil
}

// eachTransferEvent reads the event log in the order in which readers get it.
func eachTransferEvent(ctx context.Context, tx pgx.Tx, each func(row any) error) error {
	g := positionEvents{pos: -1}
	flush := func() error {
		g.sort()
		for _, e := range g.entries {
			if err := each(transfer.Event{Entry: e}); err != nil {
				return err
			}
		}
		g.entries = g.entries[:0]
		return nil
	}
	read := transferQuery{transferEvents, func(rows pgx.Rows) (any, error) {
		var pos int64
		var rest []byte
		if err := rows.Scan(&pos, &rest); err != nil {
			return nil, err
		}
		entries, err := decodeEntries(pos, rest)
		return positionEvents{pos, entries}, err
	}}
	err := eachRow(ctx, tx, read, func(row any) error {
		next := row.(positionEvents) //nolint:forcetypeassert // scan gives nothing else
		if next.pos != g.pos {
			if err := flush(); err != nil {
				return err
			}
		}
		g.pos, g.entries = next.pos, append(g.entries, next.entries...)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

func scanTransferMessage(rows pgx.Rows) (any, error) {
	var t transfer.Message
	m := &t.Message
	var ttl int64
	var steps []byte
	err := rows.Scan((*[16]byte)(&m.ID.UUID), &m.Recipient, (*[16]byte)(&m.Business.UUID), &m.Priority, &m.From, &m.Subject, &m.Content, &m.CorrelationID,
		&m.Metadata, &m.SendAt, &ttl, &m.Seq, &m.ExpiresAt, &steps, &t.Discarded)
	if err != nil {
		return nil, err
	}
	m.TTL = time.Duration(ttl) * time.Second
	if t.Progress, err = lifecycle.Decode(steps, m.ID, !m.SendAt.IsZero()); err != nil {
		return nil, fmt.Errorf("steps of %s: %w", m.ID, err)
	}
	return t, nil
}

func scanTransferKey(rows pgx.Rows) (any, error) {
	var k transfer.Key
	var key string
	var fingerprint []byte
	var ids [][16]byte
	var seqs, recipients []int64
	var correlations []string
	err := rows.Scan((*[16]byte)(&k.Business.UUID), &key, &fingerprint, &k.ExpiresAt, (*[16]byte)(&k.Batch.UUID), &ids, &seqs, &recipients, &correlations)
	if err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(key)
	if err != nil || len(sum) != len(k.Sum) || len(fingerprint) != len(k.Fingerprint) {
		return nil, fmt.Errorf("idempotency key %q of business %s is damaged", key, k.Business)
	}
	copy(k.Sum[:], sum)
	copy(k.Fingerprint[:], fingerprint)
	k.Receipts = receipts(ids, seqs, recipients, correlations)
	return k, nil
}

// sort puts the events of a position into their order.
func (g *positionEvents) sort() {
	slices.SortFunc(g.entries, func(a, b lifecycle.Entry) int {
		return cmp.Or(bytes.Compare(a.Message.UUID[:], b.Message.UUID[:]), cmp.Compare(a.Version, b.Version))
	})
}

// decodeEntries reads a row of the event log.
func decodeEntries(pos int64, rest []byte) ([]lifecycle.Entry, error) {
	var entries []lifecycle.Entry
	for len(rest) > 0 {
		e, behind, err := lifecycle.DecodeEntry(rest)
		if err != nil {
			return nil, fmt.Errorf("events at %d: %w; run `esh3ar verify`", pos, err)
		}
		entries, rest = append(entries, e), behind
	}
	return entries, nil
}
