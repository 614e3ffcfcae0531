package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

var claimTasks = statement{"claim", `SELECT id, kind, due, recipient, life, lease FROM claim_tasks($1, $2, $3)`}

// Claim implements esh3ar.TaskQueue. It uses the database's clock, so nodes with different clocks agree on what is due.
func (s *Store) Claim(ctx context.Context, lease time.Duration, limit int) ([]esh3ar.Task, error) {
	var tasks []esh3ar.Task
	var now *int64
	if s.opts.Now != nil {
		at := s.opts.Now().UnixMilli()
		now = &at
	}
	err := s.query(ctx, claimTasks, func(rows pgx.Rows) error {
		var t esh3ar.Task
		if err := rows.Scan((*[16]byte)(&t.Message.UUID), &t.Kind, &t.Due, &t.Recipient, &t.Life, &t.Lease); err != nil {
			return err
		}
		tasks = append(tasks, t)
		return nil
	}, now, lease.Milliseconds(), limit)
	if err != nil {
		return nil, readError("claim tasks", err)
	}
	slices.SortFunc(tasks, func(a, b esh3ar.Task) int { return int(a.Due - b.Due) })
	return tasks, nil
}

var readTasks = statement{"read_tasks", `SELECT id, kind, due, lease FROM tasks WHERE id = ANY ($1)`}

// readLeases reads the leases of the tasks that the changes complete.
func (s *Store) readLeases(ctx context.Context, r *settleAttempt, tasks []*esh3ar.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	ids := make([]esh3ar.MessageID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.Message
	}
	r.leases = map[taskKey]uint64{}
	return s.query(ctx, readTasks, func(rows pgx.Rows) error {
		var key taskKey
		var lease uint64
		if err := rows.Scan((*[16]byte)(&key.id.UUID), &key.kind, &key.due, &lease); err != nil {
			return err
		}
		r.leases[key] = lease
		return nil
	}, uuids(ids))
}

// holdsLease reports whether a change may complete its task: the task exists, its lease is the newest one, and no other change of
// this attempt completes it.
func (r *settleAttempt) holdsLease(t *esh3ar.Task) bool {
	key := keyOf(t)
	if lease, ended := r.endedTasks[key]; ended && lease != nil {
		return false
	}
	lease, there := r.leases[key]
	return there && (lease == t.Lease && t.Lease != 0 || faultinject.Is(faultinject.FenceIgnored))
}
