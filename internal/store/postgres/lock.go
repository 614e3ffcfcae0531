package postgres

import (
	"context"
	"hash/fnv"
)

// Lock acquires a lock shared by all nodes. It waits until ctx ends. The server releases the lock when the connection of
// this node ends.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, readError("lock", err)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte("esh3ar/" + name)) // never fails
	number := int64(h.Sum64())
	// pg_try_advisory_lock does not block, so the wait is not limited by statement_timeout.
	for held := false; !held; {
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", number).Scan(&held); err != nil {
			conn.Release()
			return nil, readError("lock", err)
		}
		if _, err := conn.Exec(ctx, "SELECT pg_sleep(CASE WHEN $1 THEN 0 ELSE 0.05 END)", held); err != nil {
			conn.Release()
			return nil, readError("lock", err)
		}
	}
	return func() error {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", number); err == nil {
			conn.Release()
			return nil
		}
		return conn.Hijack().Close(context.WithoutCancel(ctx)) // the lock ends with the connection
	}, nil
}
