package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// StatementStats is what one kind of statement has cost since the start.
type StatementStats struct {
	Name   string
	Count  uint64
	Errors uint64
	Took   time.Duration // all together, with the wait for a connection
}

// PoolStats is how the connections stand.
type PoolStats struct {
	Total, Idle, Max int
	Waited           time.Duration // for a connection, all calls together since the start
	Empty            uint64        // calls that had to wait
}

// stats counts statements by name.
type stats struct {
	mu struct {
		sync.Mutex
		of map[string]*StatementStats
	}
}

func (s *stats) count(name string, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.of == nil {
		s.mu.of = map[string]*StatementStats{}
	}
	of := s.mu.of[name]
	if of == nil {
		of = &StatementStats{Name: name}
		s.mu.of[name] = of
	}
	of.Count++
	of.Took += took
	if err != nil {
		of.Errors++
	}
}

// Statements tells what each kind of statement has cost.
func (s *Store) Statements() []StatementStats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	all := make([]StatementStats, 0, len(s.stats.mu.of))
	for _, of := range s.stats.mu.of {
		all = append(all, *of)
	}
	return all
}

// Pool tells how the connections stand.
func (s *Store) Pool() PoolStats {
	p := s.pool.Stat()
	return PoolStats{
		Total: int(p.TotalConns()), Idle: int(p.IdleConns()), Max: int(p.MaxConns()), Waited: p.EmptyAcquireWaitTime(), Empty: uint64(p.EmptyAcquireCount()),
	}
}

var xminAge = statement{"xmin_age", `SELECT pg_snapshot_xmax(s)::text::bigint - pg_snapshot_xmin(s)::text::bigint FROM pg_current_snapshot() s`}

// XminAge is how many transactions have begun since the oldest that still runs: readers of the event log see nothing of
// what those changed.
func (s *Store) XminAge(ctx context.Context) (age int64, err error) {
	err = s.query(ctx, xminAge, func(rows pgx.Rows) error { return rows.Scan(&age) })
	if err != nil {
		return 0, readError("age of the oldest transaction", err)
	}
	return age, nil
}
