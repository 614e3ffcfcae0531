package esh3ar

import "context"

// Position points into the event log. It is opaque but for its order, which is that of the strings; the empty position
// lies before the first event.
type Position string

// LogEntry is one event with the position behind it: reading on from there misses nothing and repeats nothing.
type LogEntry struct {
	Position Position
	Event    Event
}

// EventLog reads the status events of all messages in commit order, of one message in version order.
type EventLog interface {
	// Events reads events behind a position.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
	// Tail is the position behind the newest event that readers can see. It is never the empty one, not even while nothing
	// has happened: whoever keeps it can tell it from having none.
	Tail(ctx context.Context) (Position, error)
}

// EventQuery bounds one read of the event log.
type EventQuery struct {
	After      Position     // one that this log cannot have given, letter for letter, is Invalid; one behind the tail is not
	Businesses []BusinessID // only theirs; empty: all
	Limit      int          // events; at least 1
}

// EventPage is what one read found. A page may hold fewer events than the limit, even none, and not be the end: a store
// bounds how many rows one call walks over. It is the end when Next equals the position that was asked for.
type EventPage struct {
	Entries []LogEntry
	Next    Position // where to read on: behind everything that was walked over
	Trimmed bool     // events behind After have been deleted: what Entries begins with is the oldest there is
}
