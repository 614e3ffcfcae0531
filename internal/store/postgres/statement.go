package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statement is something that is asked of the database under a name, by which it is counted, timed and prepared.
type statement struct{ name, sql string }

// use gives f a connection within the time that a call may take, and keeps the books.
func (s *Store) use(ctx context.Context, st statement, f func(ctx context.Context, conn *pgxpool.Conn) error) error {
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
	if took > s.opts.SlowAfter && err == nil { // who asked hears of an error
		s.opts.Log.Warn("slow statement", "statement", st.name, "took", took)
	}
	return err
}

// notSent is an error of before anything reached the server.
type notSent struct{ error }

// SafeToRetry is what pgconn.SafeToRetry looks for.
func (e *notSent) SafeToRetry() bool { return true }

func (e *notSent) Unwrap() error { return e.error }

// call runs a statement with binary arguments and gives the fields of its one row, in binary.
func (s *Store) call(ctx context.Context, st statement, params [][]byte) (row [][]byte, err error) {
	err = s.use(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
		if _, err := conn.Conn().Prepare(ctx, st.name, st.sql); err != nil { // once per connection
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

// query runs a read and hands each row to scan.
func (s *Store) query(ctx context.Context, st statement, scan func(pgx.Rows) error, args ...any) error {
	return s.use(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
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

// exec runs a statement that gives no rows.
func (s *Store) exec(ctx context.Context, st statement, args ...any) (tag pgconn.CommandTag, err error) {
	err = s.use(ctx, st, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err = conn.Exec(ctx, st.sql, args...)
		return err
	})
	return tag, err
}

// tries bounds how often a write that loses races is repeated: each loss is somebody else's gain.
const tries = 20

// persist repeats a write that loses races.
func persist(ctx context.Context, write func(try int) error) (err error) {
	for try := range tries {
		if err = write(try); err == nil || !repeatable(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}
