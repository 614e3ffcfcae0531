package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
)

// ErrMoving means that a database is being copied.
var ErrMoving = errors.New("the database is being moved; wait until `esh3ar move` has ended")

// ErrNodes means that nodes have a database open.
var ErrNodes = errors.New("nodes use the database")

// movingLock is the number of the advisory lock that a copy holds.
var movingLock = func() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("esh3ar/move")) // never fails
	return int64(h.Sum64())
}()

// free refuses a database that is being copied.
func (s *Store) free(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	var free bool
	if err := s.pool.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock_shared($1)`, movingLock).Scan(&free); err != nil {
		return s.connectError(err)
	}
	if !free {
		return fmt.Errorf("%s: %w", s.opts.Flag, ErrMoving)
	}
	return nil
}

// Hold takes the database for a copy: no node can open it until release. It is ErrNodes if one has it open, and ErrMoving if another
// copy holds it. The server drops the hold when this process ends. Alone looks for nodes again.
func (s *Store) Hold(ctx context.Context) (alone func(context.Context) error, release func(), err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, readError("hold the database", err)
	}
	held := conn.Hijack()
	release = func() { _ = held.Close(context.WithoutCancel(ctx)) } // and with it the lock ends
	var got bool
	if err := held.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, movingLock).Scan(&got); err != nil {
		release()
		return nil, nil, readError("hold the database", err)
	}
	if !got {
		release()
		return nil, nil, ErrMoving
	}
	alone = func(ctx context.Context) error { return s.lookForNodes(ctx, held) }
	if err := alone(ctx); err != nil {
		release()
		return nil, nil, err
	}
	return alone, release, nil
}

// lookForNodes finds connections of other processes by their application name and address.
func (s *Store) lookForNodes(ctx context.Context, conn *pgx.Conn) error {
	var others int
	err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, nodeName).Scan(&others)
	if err != nil {
		return readError("look for nodes", err)
	}
	if others > 0 {
		return fmt.Errorf("%w: %d connections", ErrNodes, others)
	}
	return nil
}

// alone calls f with a connection whose statements take as long as they take.
func (s *Store) alone(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return readError("copy", err)
	}
	defer conn.Release()
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		if _, err := conn.Exec(ctx, "SET "+name+" = 0"); err != nil {
			return readError("copy", err)
		}
	}
	defer func() { _ = conn.Conn().Close(context.WithoutCancel(ctx)) }() // the pool makes another, with its settings
	return f(conn.Conn())
}

// Empty reports whether the database holds nothing that a copy would overwrite.
func (s *Store) Empty(ctx context.Context) (empty bool, err error) {
	var used bool
	err = s.query(ctx, statement{"empty", `SELECT EXISTS (SELECT FROM messages) OR EXISTS (SELECT FROM businesses) OR EXISTS (SELECT FROM settings) OR EXISTS (SELECT FROM events)`},
		func(rows pgx.Rows) error { return rows.Scan(&used) })
	if err != nil {
		return false, readError("look whether the database is empty", err)
	}
	return !used, nil
}

// DropSetting deletes a setting.
func (s *Store) DropSetting(ctx context.Context, name string) error {
	if _, err := s.exec(ctx, statement{"drop_setting", `DELETE FROM settings WHERE name = $1`}, name); err != nil {
		return writeError("drop a setting", err)
	}
	return nil
}
