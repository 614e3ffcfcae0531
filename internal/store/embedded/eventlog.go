package embedded

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// A position is the number of an event in hexadecimal, 16 digits.
func position(n uint64) esh3ar.Position {
	return esh3ar.Position(hex.EncodeToString(appendUint64(nil, n)))
}

func parsePosition(p esh3ar.Position) (uint64, error) {
	if p == "" {
		return 0, nil
	}
	raw, err := hex.DecodeString(string(p))
	if err != nil || len(raw) != 8 {
		return 0, esh3ar.Errorf(esh3ar.Invalid, "position %q is not one of this log", p)
	}
	return binary.BigEndian.Uint64(raw), nil
}

// Events realises esh3ar.EventLog.
func (s *Store) Events(_ context.Context, after esh3ar.Position, limit int) ([]esh3ar.LogEntry, error) {
	from, err := parsePosition(after)
	if err != nil {
		return nil, err
	}
	v, err := s.read()
	if err != nil {
		return nil, err
	}
	defer v.release()
	entries, err := events(v, from, limit)
	if err != nil {
		return nil, readError("read event log", err)
	}
	return entries, nil
}

func events(v *view, from uint64, limit int) ([]esh3ar.LogEntry, error) {
	if from == math.MaxUint64 {
		return nil, nil
	}
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: appendEvent(nil, from+1), UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var entries []esh3ar.LogEntry
	for valid := it.First(); valid && len(entries) < limit; valid = it.Next() {
		row, err := decodeEvent(it.Value())
		if err != nil {
			return nil, fmt.Errorf("event %x: %w", it.Key()[1:], err)
		}
		var body *esh3ar.Message
		if m, ok, err := readBody(v.snapshot, row.recipient, row.seq); err != nil {
			return nil, err
		} else if ok {
			body = &m
		}
		entries = append(entries, esh3ar.LogEntry{Position: position(binary.BigEndian.Uint64(it.Key()[1:])), Event: row.event(body)})
	}
	return entries, it.Error()
}

// Tail realises esh3ar.EventLog.
func (s *Store) Tail(context.Context) (esh3ar.Position, error) {
	v, err := s.read()
	if err != nil {
		return "", err
	}
	defer v.release()
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKey}, UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return "", readError("read event log", err)
	}
	defer it.Close()
	if !it.Last() {
		if err := it.Error(); err != nil {
			return "", readError("read event log", err)
		}
		return "", nil
	}
	return position(binary.BigEndian.Uint64(it.Key()[1:])), nil
}
