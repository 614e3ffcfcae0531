package esh3ar

import "context"

// Janitor deletes what has served its time. Each call is one bounded step that does not hold up anybody.
type Janitor interface {
	// Purge deletes messages that reached a final status before a time, with all that belongs to them, at most limit of
	// them. It walks from where next of the last call points (empty: from the start; empty on return: the walk is
	// over). What is not final stays, however old it is.
	Purge(ctx context.Context, endedBefore Time, next string, limit int) (purged int, following string, err error)
	// TrimEvents deletes events that happened before a time, oldest first up to the first that did not; more says that
	// there is more to delete.
	TrimEvents(ctx context.Context, before Time) (more bool, err error)
	// ForgetKeys deletes idempotency keys that expired before a time; those of the last day may be kept for longer.
	ForgetKeys(ctx context.Context, expiredBefore Time) error
}
