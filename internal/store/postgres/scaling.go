package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// Scaling implements the lease and the history of the autoscaler.
type Scaling struct{ store *Store }

var (
	_ autoscale.Lease   = (*Scaling)(nil)
	_ autoscale.History = (*Scaling)(nil)
)

// Scaling returns the autoscaler's state in this database. It shares the database with the messages, because a lease needs a
// single order of events.
func (s *Store) Scaling() *Scaling { return &Scaling{s} }

// historyLimit bounds the history. It lasts for months in normal operation.
const historyLimit = 2000

// scalingLock is the advisory lock that a takeover acquires and each guarded effect shares. It is not the row lock of table
// scaling: a row lock gives the transaction an id, and event readers stop below the oldest running id.
const scalingLock = 0x65736833 // arbitrary number, unique among the advisory locks

var (
	renewScaling = statement{"keep_scaling", `UPDATE scaling SET until = clock_timestamp() + $2 * interval '1 ms' WHERE holder = $1 RETURNING token`}
	lockScaling  = statement{"lock_scaling", `SELECT pg_advisory_xact_lock($1)`}
	takeScaling  = statement{"take_scaling", `INSERT INTO scaling AS s (id, holder, token, until) VALUES (1, $1, 1, clock_timestamp() + $2 * interval '1 ms')
		ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, token = s.token + 1, until = excluded.until WHERE s.until <= clock_timestamp()
		RETURNING token`}
	readScaling    = statement{"scaling", `SELECT holder, token FROM scaling WHERE until > clock_timestamp()`}
	releaseScaling = statement{"release_scaling", `UPDATE scaling SET until = clock_timestamp() WHERE holder = $1 AND token = $2`}
	guardScaling   = statement{"guard_scaling", `SELECT 1 FROM scaling WHERE holder = $1 AND token = $2`}
	shareScaling   = statement{"share_scaling", `SELECT pg_advisory_xact_lock_shared($1)`}
	scalingState   = statement{"scaling_state", `SELECT state FROM scaling WHERE state IS NOT NULL`}
	writeScaling   = statement{"write_scaling", `WITH mine AS (UPDATE scaling SET state = $3::jsonb WHERE holder = $1 AND token = $2 RETURNING 1),
			trimmed AS (DELETE FROM scaling_diary WHERE EXISTS (SELECT FROM mine) AND number <= (SELECT max(number) FROM scaling_diary) - $5::bigint)
		INSERT INTO scaling_diary (entry) SELECT $4::jsonb FROM mine`}
	scalingHistory = statement{"scaling_history", `SELECT number, entry FROM scaling_diary WHERE $1::bigint = 0 OR number < $1 ORDER BY number DESC LIMIT $2`}
)

// Acquire implements autoscale.Lease by the database's clock. Expiry alone does not end a lease: a holder that was paused
// keeps it until another node takes over.
func (s *Scaling) Acquire(ctx context.Context, holder string, ttl time.Duration) (autoscale.Term, error) {
	var t autoscale.Term
	var err error
	read := func(rows pgx.Rows) error { t.Leader, t.Holder = true, holder; return rows.Scan(&t.Token) }
	if err = s.store.query(ctx, renewScaling, read, holder, ttl.Milliseconds()); err != nil || t.Leader {
		return t, err
	}
	if t, err = s.readHolder(ctx); err != nil || t.Holder != "" {
		return t, err
	}
	if err = s.takeOver(ctx, &t, holder, ttl); err != nil || t.Leader {
		return t, err
	}
	return s.readHolder(ctx)
}

// readHolder returns the current holder; empty if the lease is free.
func (s *Scaling) readHolder(ctx context.Context) (autoscale.Term, error) {
	var t autoscale.Term
	err := s.store.query(ctx, readScaling, func(rows pgx.Rows) error { return rows.Scan(&t.Holder, &t.Token) })
	return t, err
}

// Holder returns the name of the current holder; empty if the lease is free.
func (s *Scaling) Holder(ctx context.Context) (string, error) {
	t, err := s.readHolder(ctx)
	if err != nil {
		return "", readError("read lease of the autoscaler", err)
	}
	return t.Holder, nil
}

// takeOver takes the free lease. It first waits for a guarded effect of the previous holder that may still run.
func (s *Scaling) takeOver(ctx context.Context, t *autoscale.Term, holder string, ttl time.Duration) error {
	return s.store.withConn(ctx, takeScaling, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockScaling.sql, int64(scalingLock)); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, takeScaling.sql, holder, ttl.Milliseconds()).Scan(&t.Token)
			if isNoRows(err) {
				return nil
			}
			t.Leader, t.Holder = err == nil, holder
			return err
		})
	})
}

// Release implements autoscale.Lease.
func (s *Scaling) Release(ctx context.Context, t autoscale.Term) error {
	_, err := s.store.exec(ctx, releaseScaling, t.Holder, int64(t.Token))
	return err
}

// Guard implements autoscale.Lease. A transaction holds a shared lock while effect runs, so a takeover waits for it. If a
// node is paused in effect, the server ends the transaction after idle_in_transaction_session_timeout, and the commit fails.
func (s *Scaling) Guard(ctx context.Context, t autoscale.Term, effect func(context.Context) error) error {
	var failed error
	err := s.store.withConn(ctx, guardScaling, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, shareScaling.sql, int64(scalingLock)); err != nil {
				return err
			}
			var one int
			if err := tx.QueryRow(ctx, guardScaling.sql, t.Holder, int64(t.Token)).Scan(&one); err != nil {
				return err
			}
			failed = effect(ctx)
			return nil
		})
	})
	if isNoRows(err) {
		return autoscale.ErrFenced
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w, or may have: %w", autoscale.ErrFenced, err), failed)
	}
	return failed
}

// Load implements autoscale.History.
func (s *Scaling) Load(ctx context.Context) (state []byte, err error) {
	err = s.store.query(ctx, scalingState, func(rows pgx.Rows) error { return rows.Scan(&state) })
	return state, err
}

// Write implements autoscale.History.
func (s *Scaling) Write(ctx context.Context, t autoscale.Term, e *autoscale.Entry, state []byte) error {
	entry, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tag, err := s.store.exec(ctx, writeScaling, t.Holder, int64(t.Token), state, entry, int64(historyLimit))
	if err == nil && tag.RowsAffected() == 0 {
		return autoscale.ErrFenced
	}
	return err
}

// History implements autoscale.History.
func (s *Scaling) History(ctx context.Context, before int64, limit int) ([]autoscale.Entry, error) {
	var entries []autoscale.Entry
	err := s.store.query(ctx, scalingHistory, func(rows pgx.Rows) error {
		var number int64
		var text []byte
		if err := rows.Scan(&number, &text); err != nil {
			return err
		}
		var e autoscale.Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		e.Number = number
		entries = append(entries, e)
		return nil
	}, before, limit)
	if err != nil {
		return nil, readError("read history of the autoscaler", err)
	}
	return entries, nil
}
