package esh3ar

import "context"

// Janitor deletes what has served its time. Each call is one bounded step that does not hold up anybody.
type Janitor interface {
	// Purge deletes messages that reached a final status before their time, with all that belongs to them, at most limit of
	// them. It walks from where next of the last call points (empty: from the start; empty on return: the walk is
	// over). What is not final stays, however old it is.
	Purge(ctx context.Context, served Served, next string, limit int) (purged int, following string, err error)
	// TrimEvents deletes events that happened before a time, oldest first up to the first that did not; more says that
	// there is more to delete.
	TrimEvents(ctx context.Context, before Time) (more bool, err error)
	// ForgetKeys deletes idempotency keys that expired before a time; those of the last day may be kept for longer.
	ForgetKeys(ctx context.Context, expiredBefore Time) error
}

// Served says which finished messages have served their time: those that ended before a time, which can be another for some
// businesses.
type Served struct {
	Before Time
	Of     map[BusinessID]Time // of these businesses, instead
}

// Until is the time for the messages of a business.
func (s *Served) Until(b BusinessID) Time {
	if t, ok := s.Of[b]; ok {
		return t
	}
	return s.Before
}

// Newest is the latest of all times: what is younger has not served in any case.
func (s *Served) Newest() Time {
	newest := s.Before
	for _, t := range s.Of {
		newest = max(newest, t)
	}
	return newest
}
