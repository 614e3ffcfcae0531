package postgres

import (
	"context"
	"hash/fnv"
)

// Lock takes a lock that all nodes share, and waits for it as long as ctx allows. The server drops it when this node's
// connection ends, however it ends.
func (s *Store) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, readError("lock", err)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte("esh3ar/" + name)) // never fails
	number := int64(h.Sum64())
	// statement_timeout bounds the wait: whoever holds the lock for longer is asked again.
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
		return conn.Hijack().Close(context.WithoutCancel(ctx)) // and with it the lock ends
	}, nil
}
