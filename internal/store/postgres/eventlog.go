package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// eventRowLimit bounds the rows visited by one read.
const eventRowLimit = 256

// Running transactions may still add rows at their ids and above, so readers stop below the oldest one. All rows of a
// position are read together, because only then their order is known.
var (
	readEvents = statement{"events", `SELECT e.pos, e.entries FROM (
		SELECT DISTINCT pos FROM (
			SELECT pos, sum(count) OVER (ORDER BY pos, xid) - count AS before FROM (
				SELECT pos, xid, count FROM events WHERE pos >= $1 AND pos < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY pos, xid LIMIT $3) r) n
		WHERE before < $2 ORDER BY pos) p CROSS JOIN LATERAL (SELECT pos, entries FROM events WHERE pos = p.pos ORDER BY xid) e`}
	readTail = statement{"tail", `SELECT pos, sum(count)::integer FROM events WHERE pos = (
		SELECT max(pos) FROM events WHERE pos < pg_snapshot_xmin(pg_current_snapshot())::text::bigint) GROUP BY pos`}
	readTrimmed = statement{"trimmed", `SELECT pos, count, since FROM events_trimmed`}
)

// positionEvents is the set of events at one position, sorted by message and version.
type positionEvents struct {
	pos     int64
	entries []lifecycle.Entry
}

// readPositions reads positions from from on until they contain the given number of events. The last position is complete.
func (s *Store) readPositions(ctx context.Context, from int64, events int) ([]positionEvents, error) {
	var groups []positionEvents
	read := readEvents
	if faultinject.Is(faultinject.LogPastRunning) {
		read.sql = strings.Replace(read.sql, "pg_snapshot_xmin(pg_current_snapshot())::text::bigint", "9223372036854775807", 1)
	}
	err := s.query(ctx, read, func(rows pgx.Rows) error {
		var pos int64
		var rest []byte
		if err := rows.Scan(&pos, &rest); err != nil {
			return err
		}
		if len(groups) == 0 || groups[len(groups)-1].pos != pos {
			groups = append(groups, positionEvents{pos: pos})
		}
		g := &groups[len(groups)-1]
		entries, err := decodeEntries(pos, rest)
		g.entries = append(g.entries, entries...)
		return err
	}, from, events, eventRowLimit)
	for i := range groups {
		groups[i].sort()
	}
	return groups, err
}

// Events implements esh3ar.EventLog.
func (s *Store) Events(ctx context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	var page esh3ar.EventPage
	from, err := parsePosition(q.After)
	if err != nil {
		return page, err
	}
	page.Next = q.After
	// The trim position is read after the events, so a trim in between is noticed.
	groups, err := s.readPositions(ctx, from.pos, from.n+q.Limit)
	trimmed, _, err2 := s.trimmed(ctx)
	if err := errors.Join(err, err2); err != nil {
		return esh3ar.EventPage{}, readError("read event log", err)
	}
	if from.before(trimmed) {
		page.Trimmed, from = true, trimmed
		page.Next = esh3ar.Position(trimmed.String())
	}
	for _, g := range groups {
		for n := range g.entries {
			at := position{g.pos, n + 1}
			if len(page.Entries) == q.Limit {
				break
			}
			if !from.before(at) {
				continue
			}
			page.Next = esh3ar.Position(at.String())
			if e := &g.entries[n]; len(q.Businesses) == 0 || slices.Contains(q.Businesses, e.Business) {
				page.Entries = append(page.Entries, esh3ar.LogEntry{Position: page.Next, Event: e.Event()})
			}
		}
	}
	return page, s.addDetails(ctx, groups, page.Entries)
}

var readDetails = statement{"event_messages", `SELECT id, correlation_id, metadata FROM messages WHERE id = ANY ($1)`}

// addDetails sets the correlation id and metadata of events whose messages have them. A message may be purged before its
// events.
func (s *Store) addDetails(ctx context.Context, groups []positionEvents, entries []esh3ar.LogEntry) error {
	wanted := map[esh3ar.MessageID]bool{}
	for _, g := range groups {
		for i := range g.entries {
			if g.entries[i].Annotated {
				wanted[g.entries[i].Message] = true
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	byMessage := map[esh3ar.MessageID][]*esh3ar.Event{}
	var ids []esh3ar.MessageID
	for i := range entries {
		if e := &entries[i].Event; wanted[e.Message] {
			if byMessage[e.Message] == nil {
				ids = append(ids, e.Message)
			}
			byMessage[e.Message] = append(byMessage[e.Message], e)
		}
	}
	err := s.query(ctx, readDetails, func(rows pgx.Rows) error {
		var id esh3ar.MessageID
		var correlation string
		var metadata map[string]string
		if err := rows.Scan((*[16]byte)(&id.UUID), &correlation, &metadata); err != nil {
			return err
		}
		for _, e := range byMessage[id] {
			e.CorrelationID, e.Metadata = correlation, metadata
		}
		return nil
	}, uuids(ids))
	if err != nil {
		return readError("read event log", err)
	}
	return nil
}

// Tail implements esh3ar.EventLog.
func (s *Store) Tail(ctx context.Context) (esh3ar.Position, error) {
	var last position
	err := s.query(ctx, readTail, func(rows pgx.Rows) error { return rows.Scan(&last.pos, &last.n) })
	if err == nil && last == (position{}) {
		last, _, err = s.trimmed(ctx)
	}
	if err != nil {
		return "", readError("read event log", err)
	}
	return esh3ar.Position(last.String()), nil
}

// trimmed returns the position up to which the log was trimmed. All events after since are still in the log.
func (s *Store) trimmed(ctx context.Context) (p position, since esh3ar.Time, err error) {
	err = s.query(ctx, readTrimmed, func(rows pgx.Rows) error { return rows.Scan(&p.pos, &p.n, &since) })
	return p, since, err
}
