package embedded

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// position formats the number of an event as 16 hexadecimal digits.
func position(n uint64) esh3ar.Position {
	return esh3ar.Position(hex.EncodeToString(appendUint64(nil, n)))
}

// parsePosition parses a position. The empty position is the start of the log.
func parsePosition(p esh3ar.Position) (uint64, error) {
	if p == "" {
		return 0, nil
	}
	raw, err := hex.DecodeString(string(p))
	if err == nil && len(raw) == 8 {
		// Only lower-case digits are valid: positions are compared as text.
		n := binary.BigEndian.Uint64(raw)
		if position(n) == p {
			return n, nil
		}
	}
	return 0, esh3ar.Errorf(esh3ar.Invalid, "position %q is not one of this log", p)
}

// Events implements esh3ar.EventLog.
func (s *Store) Events(_ context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	from, err := parsePosition(q.After)
	if err != nil {
		return esh3ar.EventPage{}, err
	}
	v, err := s.acquireView()
	if err != nil {
		return esh3ar.EventPage{}, err
	}
	defer v.release()
	page, err := events(v, &q, from)
	if err != nil {
		return esh3ar.EventPage{}, readError("read event log", err)
	}
	return page, nil
}

func events(v *view, q *esh3ar.EventQuery, from uint64) (esh3ar.EventPage, error) {
	var page esh3ar.EventPage
	page.Next = q.After
	if from == math.MaxUint64 {
		return page, nil
	}
	trimmed, _, err := readTrimmed(v.snapshot)
	if err != nil {
		return page, err
	}
	page.Trimmed = from < trimmed
	if page.Trimmed {
		from, page.Next = trimmed, position(trimmed)
	}
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: appendEvent(nil, from+1), UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return page, err
	}
	defer it.Close()
	walked := 0
	for valid := it.First(); valid && len(page.Entries) < q.Limit && walked < walkLimit; valid = it.Next() {
		walked++
		row, err := decodeEvent(it.Value())
		if err != nil {
			return page, fmt.Errorf("event %x: %w", it.Key()[1:], err)
		}
		page.Next = position(binary.BigEndian.Uint64(it.Key()[1:]))
		if len(q.Businesses) > 0 && !slices.Contains(q.Businesses, row.business) {
			continue
		}
		event, err := fullEvent(v, &row)
		if err != nil {
			return page, err
		}
		page.Entries = append(page.Entries, esh3ar.LogEntry{Position: page.Next, Event: event})
	}
	return page, it.Error()
}

// fullEvent adds the correlation id and metadata from the body. The body may since have moved to another seq, or have been
// purged.
func fullEvent(v *view, row *eventRow) (esh3ar.Event, error) {
	m, ok, err := readBody(v.snapshot, row.recipient, row.seq, row.id)
	if err == nil && !ok {
		var where location
		if where, ok, err = readLocation(v.snapshot, row.id); err == nil && ok {
			m, ok, err = readBody(v.snapshot, where.recipient, where.seq, row.id)
		}
	}
	if err != nil || !ok {
		return row.event(nil), err
	}
	return row.event(&m), nil
}

// Tail implements esh3ar.EventLog.
func (s *Store) Tail(context.Context) (esh3ar.Position, error) {
	v, err := s.acquireView()
	if err != nil {
		return "", err
	}
	defer v.release()
	last, err := lastEvent(v.snapshot)
	if err != nil {
		return "", readError("read event log", err)
	}
	return position(last), nil
}
