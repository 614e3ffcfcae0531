package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var countWaiting = statement{"waiting", `SELECT count(*) FROM (
	SELECT FROM (SELECT i.id FROM inbox i WHERE i.recipient = $1 AND i.lane = $2 ORDER BY i.seq DESC LIMIT $5) w
	JOIN messages m ON m.id = w.id AND m.recipient = $1 WHERE m.business = $3 LIMIT $4
) own`}

// CountWaiting implements esh3ar.WaitingCounter.
func (s *Store) CountWaiting(ctx context.Context, q esh3ar.WaitingQuery) (int, error) {
	var n int
	err := s.query(ctx, countWaiting, func(rows pgx.Rows) error { return rows.Scan(&n) },
		int64(q.Recipient), int16(q.Lane), [16]byte(q.Business.UUID), q.Limit, q.Walk)
	if err != nil {
		return 0, readError("count undelivered messages", err)
	}
	return n, nil
}
