package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var countBacklog = statement{"backlog", `SELECT (SELECT count(*) FROM (SELECT FROM inbox LIMIT $1) i),
	(SELECT count(*) FROM (SELECT FROM tasks WHERE kind = 1 LIMIT $1) s),
	(SELECT count(*) FROM (SELECT FROM dead_letters LIMIT $1) d)`}

// Backlog implements esh3ar.BacklogCounter.
func (s *Store) Backlog(ctx context.Context, most int) (esh3ar.Backlog, error) {
	var b esh3ar.Backlog
	err := s.query(ctx, countBacklog, func(rows pgx.Rows) error { return rows.Scan(&b.Undelivered, &b.Scheduled, &b.DeadLetters) }, most)
	if err != nil {
		return b, readError("count backlog", err)
	}
	return b, nil
}
