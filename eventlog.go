package esh3ar

import "context"

// Position is a place in the event log. It is opaque, but positions are ordered like strings. The empty position is before the first event.
type Position string

// LogEntry is an event and the position after it. Reading from that position neither misses nor repeats an event.
type LogEntry struct {
	Position Position
	Event    Event
}

// EventLog reads the status events of all messages, in commit order. The events of one message are in the order of their versions.
type EventLog interface {
	// Events returns events after a position.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
	// Tail returns the position after the newest event that readers can see. It is never empty, even if there are no events, so that a
	// reader can tell a stored tail from no position.
	Tail(ctx context.Context) (Position, error)
}

// EventQuery bounds one read of the event log.
type EventQuery struct {
	After      Position     // the error is Invalid if the log cannot have returned this string; a position after the tail is valid
	Businesses []BusinessID // businesses whose events are returned; empty for all
	Limit      int          // events; at least 1
}

// EventPage is the result of one read. A page may hold fewer events than the limit, even none, before the end: a store bounds the rows
// that one call walks over. The end is reached when Next equals the requested position.
type EventPage struct {
	Entries []LogEntry
	Next    Position // position to continue from, after all rows that were walked over
	Trimmed bool     // events after After were deleted; Entries begins with the oldest event that is left
}
