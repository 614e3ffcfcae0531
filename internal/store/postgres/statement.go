package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statement is an SQL statement with a name, under which it is prepared, counted and timed.
type statement struct{ name, sql string }

// withConn calls f with a connection, within the time limit of a call, and records the duration and the error.
func (s *Store) withConn(ctx context.Context, st statement, f func(ctx context.Context, conn *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	start := time.Now()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		err = &notSent{err}
	} else {
		err = f(ctx, conn)
		conn.Release()
	}
	took := time.Since(start)
	s.stats.count(st.name, took, err)
	if took > s.opts.SlowAfter && err == nil { // errors are returned, not logged
		s.opts.Log.Warn("slow statement", "statement", st.name, "took", took)
	}
	return err
}

// notSent is an error that occurred before anything was sent to the server.
type notSent struct{ error }

// SafeToRetry implements the interface that pgconn.SafeToRetry checks.
func (e *notSent) SafeToRetry() bool { return true }

func (e *notSent) Unwrap() error { return e.error }

// callFunction runs a statement of callSQL, with the same arguments in the same order, and returns the fields of its first row in binary format.
func (s *Store) callFunction(ctx context.Context, st statement, args []argument) (row [][]byte, err error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = a.value
	}
	err = s.withConn(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
		if _, err := conn.Conn().Prepare(ctx, st.name, st.sql); err != nil { // sent once per connection
			return &notSent{err}
		}
		result := conn.Conn().PgConn().ExecPrepared(ctx, st.name, params, binaryFormat, binaryFormat).Read()
		if result.Err == nil && len(result.Rows) > 0 {
			row = result.Rows[0]
		}
		return result.Err
	})
	return row, err
}

var binaryFormat = []int16{pgx.BinaryFormatCode}

// query runs a statement and calls scan for each row.
func (s *Store) query(ctx context.Context, st statement, scan func(pgx.Rows) error, args ...any) error {
	return s.withConn(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, st.sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// exec runs a statement that returns no rows.
func (s *Store) exec(ctx context.Context, st statement, args ...any) (pgconn.CommandTag, error) {
	var tag pgconn.CommandTag
	var err error
	err = s.withConn(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err = conn.Exec(ctx, st.sql, args...)
		return err
	})
	return tag, err
}

// maxAttempts bounds the attempts of a write. An attempt fails only because another write succeeded.
const maxAttempts = 20

// withRetry calls write until it succeeds, fails for another reason than a lost race, or the attempts are used up.
func withRetry(ctx context.Context, write func(try int) error) error {
	var err error
	for try := range maxAttempts {
		if err = write(try); err == nil || !repeatable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}
