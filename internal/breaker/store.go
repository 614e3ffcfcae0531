package breaker

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

// deliveryStore is the part of a store that delivery uses.
type deliveryStore interface {
	esh3ar.InboxReader
	esh3ar.Settler
	esh3ar.TaskQueue
	Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error)
}

// Store is a store behind a circuit breaker, for package delivery. While the breaker is open, reads of sessions fail at once, the
// sweep retries, and acknowledgements fail with try_again.
type Store struct {
	store   deliveryStore
	breaker *Breaker
}

// Guard returns store behind the breaker b.
func Guard(store deliveryStore, b *Breaker) *Store { return &Store{store, b} }

// Pending implements esh3ar.InboxReader.
func (s *Store) Pending(ctx context.Context, q esh3ar.InboxQuery) (esh3ar.InboxPage, error) {
	var page esh3ar.InboxPage
	err := s.breaker.Do(func() (err error) { page, err = s.store.Pending(ctx, q); return err })
	return page, err
}

// Since implements esh3ar.InboxReader.
func (s *Store) Since(ctx context.Context, r esh3ar.Recipient, after, until esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	var records []esh3ar.Record
	err := s.breaker.Do(func() (err error) { records, err = s.store.Since(ctx, r, after, until, limit); return err })
	return records, err
}

// Counters implements esh3ar.InboxReader.
func (s *Store) Counters(ctx context.Context, rs []esh3ar.Recipient) (counters []esh3ar.Seq, err error) {
	err = s.breaker.Do(func() (err error) { counters, err = s.store.Counters(ctx, rs); return err })
	return counters, err
}

// Queued implements esh3ar.InboxReader.
func (s *Store) Queued(ctx context.Context, before esh3ar.Time, next string, limit int) (refs []esh3ar.MessageRef, following string, err error) {
	err = s.breaker.Do(func() (err error) { refs, following, err = s.store.Queued(ctx, before, next, limit); return err })
	return refs, following, err
}

// Settle implements esh3ar.Settler.
func (s *Store) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	var results []esh3ar.Settled
	err := s.breaker.Do(func() (err error) { results, err = s.store.Settle(ctx, changes); return err })
	return results, err
}

// Claim implements esh3ar.TaskQueue.
func (s *Store) Claim(ctx context.Context, lease time.Duration, limit int) ([]esh3ar.Task, error) {
	var tasks []esh3ar.Task
	err := s.breaker.Do(func() (err error) { tasks, err = s.store.Claim(ctx, lease, limit); return err })
	return tasks, err
}

// Message returns the message with an id, or NotFound.
func (s *Store) Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error) {
	var record esh3ar.Record
	err := s.breaker.Do(func() (err error) { record, err = s.store.Message(ctx, id); return err })
	return record, err
}
