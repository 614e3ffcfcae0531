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

// Scaling is the lease of the one scaler, and its diary.
type Scaling struct{ store *Store }

var (
	_ autoscale.Lease   = (*Scaling)(nil)
	_ autoscale.History = (*Scaling)(nil)
)

// Scaling is in the same database as everything else: what must not be done twice is decided where one order of things is.
func (s *Store) Scaling() *Scaling { return &Scaling{s} }

// diaryKept bounds the diary: months, where nothing goes wrong.
const diaryKept = 2000

// scalingLock is the advisory lock that a takeover takes, and each guarded effect shares. It is not the row's lock: that
// would give the transaction an id, and behind the oldest id that runs the event log waits.
const scalingLock = 0x65736833 // any number that nobody else uses

var (
	keepScaling = statement{"keep_scaling", `UPDATE scaling SET until = clock_timestamp() + $2 * interval '1 ms' WHERE holder = $1 RETURNING token`}
	lockScaling = statement{"lock_scaling", `SELECT pg_advisory_xact_lock($1)`}
	takeScaling = statement{"take_scaling", `INSERT INTO scaling AS s (id, holder, token, until) VALUES (1, $1, 1, clock_timestamp() + $2 * interval '1 ms')
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

// Acquire realises scale.Lease, by the database's clock. Nothing of its own time is remembered: a holder that was stopped
// holds as long as nobody else took over.
func (s *Scaling) Acquire(ctx context.Context, holder string, ttl time.Duration) (t autoscale.Term, err error) {
	read := func(rows pgx.Rows) error { t.Leader, t.Holder = true, holder; return rows.Scan(&t.Token) }
	if err = s.store.query(ctx, keepScaling, read, holder, ttl.Milliseconds()); err != nil || t.Leader {
		return t, err
	}
	if t, err = s.other(ctx); err != nil || t.Holder != "" {
		return t, err
	}
	if err = s.take(ctx, &t, holder, ttl); err != nil || t.Leader {
		return t, err
	}
	return s.other(ctx)
}

// other is who has the lease; empty: it is free.
func (s *Scaling) other(ctx context.Context) (t autoscale.Term, err error) {
	err = s.store.query(ctx, readScaling, func(rows pgx.Rows) error { return rows.Scan(&t.Holder, &t.Token) })
	return t, err
}

// Holder is who has the lease, for whoever only wants to know; empty: it is free.
func (s *Scaling) Holder(ctx context.Context) (string, error) {
	t, err := s.other(ctx)
	if err != nil {
		return "", readError("read who scales", err)
	}
	return t.Holder, nil
}

// take waits for the effect of the last holder that may be under way, and then takes what nobody holds.
func (s *Scaling) take(ctx context.Context, t *autoscale.Term, holder string, ttl time.Duration) error {
	return s.store.use(ctx, takeScaling, func(ctx context.Context, conn *pgxpool.Conn) error {
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

// Release realises scale.Lease.
func (s *Scaling) Release(ctx context.Context, t autoscale.Term) error {
	_, err := s.store.exec(ctx, releaseScaling, t.Holder, int64(t.Token))
	return err
}

// Guard realises scale.Lease: a transaction shares the lock while effect runs, so that a takeover waits for it. A node that is
// stopped in the middle loses the transaction to idle_in_transaction_session_timeout, and learns it from the commit.
func (s *Scaling) Guard(ctx context.Context, t autoscale.Term, effect func(context.Context) error) error {
	var failed error
	err := s.store.use(ctx, guardScaling, func(ctx context.Context, conn *pgxpool.Conn) error {
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
	switch {
	case isNoRows(err):
		return autoscale.ErrFenced
	case err != nil:
		return errors.Join(fmt.Errorf("%w, or may have: %w", autoscale.ErrFenced, err), failed)
	}
	return failed
}

// Load realises scale.Diary.
func (s *Scaling) Load(ctx context.Context) (state []byte, err error) {
	err = s.store.query(ctx, scalingState, func(rows pgx.Rows) error { return rows.Scan(&state) })
	return state, err
}

// Write realises scale.Diary.
func (s *Scaling) Write(ctx context.Context, t autoscale.Term, e *autoscale.Entry, state []byte) error {
	entry, err := json.Marshal(e)
	if err != nil {
		return err
	}
	tag, err := s.store.exec(ctx, writeScaling, t.Holder, int64(t.Token), state, entry, int64(diaryKept))
	if err == nil && tag.RowsAffected() == 0 {
		return autoscale.ErrFenced
	}
	return err
}

// History realises scale.Diary.
func (s *Scaling) History(ctx context.Context, before int64, limit int) (entries []autoscale.Entry, err error) {
	err = s.store.query(ctx, scalingHistory, func(rows pgx.Rows) error {
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
		return nil, readError("read the diary of scaling", err)
	}
	return entries, nil
}
