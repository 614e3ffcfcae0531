package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// StatementStats is the cost of one kind of statement since the store was opened.
type StatementStats struct {
	Name   string
	Count  uint64        // calls
	Errors uint64        // calls that failed
	Took   time.Duration // total duration, including the wait for a connection
}

// PoolStats is the state of the connection pool.
type PoolStats struct {
	Total, Idle, Max int
	Waited           time.Duration // total wait for a connection since the store was opened
	Empty            uint64        // calls that had to wait for a connection
}

// stats counts statements by name.
type stats struct {
	mu struct {
		sync.Mutex
		byName map[string]*StatementStats
	}
}

func (s *stats) count(name string, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.byName == nil {
		s.mu.byName = map[string]*StatementStats{}
	}
	of := s.mu.byName[name]
	if of == nil {
		of = &StatementStats{Name: name}
		s.mu.byName[name] = of
	}
	of.Count++
	of.Took += took
	if err != nil {
		of.Errors++
	}
}

// Statements returns the cost of each kind of statement, in no particular order.
func (s *Store) Statements() []StatementStats {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	all := make([]StatementStats, 0, len(s.stats.mu.byName))
	for _, of := range s.stats.mu.byName {
		all = append(all, *of)
	}
	return all
}

// Pool returns the state of the connection pool.
func (s *Store) Pool() PoolStats {
	p := s.pool.Stat()
	return PoolStats{
		Total: int(p.TotalConns()), Idle: int(p.IdleConns()), Max: int(p.MaxConns()), Waited: p.EmptyAcquireWaitTime(), Empty: uint64(p.EmptyAcquireCount()),
	}
}

var xminAge = statement{"xmin_age", `SELECT pg_snapshot_xmax(s)::text::bigint - pg_snapshot_xmin(s)::text::bigint FROM pg_current_snapshot() s`}

// XminAge returns the number of transactions started since the oldest running one. Readers of the event log do not see
// changes of those transactions.
func (s *Store) XminAge(ctx context.Context) (age int64, err error) {
	err = s.query(ctx, xminAge, func(rows pgx.Rows) error { return rows.Scan(&age) })
	if err != nil {
		return 0, readError("read age of the oldest transaction", err)
	}
	return age, nil
}
