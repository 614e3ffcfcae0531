package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// readCounter returns the highest seq of an inbox; zero if nothing was appended to it.
func readCounter(src source, r esh3ar.Recipient) (esh3ar.Seq, error) {
	row, err := getRow(src, appendCounter(nil, r))
	if err != nil || row == nil {
		return 0, err
	}
	if len(row) != 8 {
		return 0, fmt.Errorf("counter of %s: %w", r, codec.ErrDamaged)
	}
	return esh3ar.Seq(binary.BigEndian.Uint64(row)), nil
}

// readSteps returns the steps of a message. Without a row, the message is still in its first status.
func readSteps(src source, p location, id esh3ar.MessageID) (lifecycle.Steps, error) {
	row, closer, err := src.Get(appendStepsKey(make([]byte, 0, 24), p.recipient, p.seq, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return lifecycle.First(id, p.scheduled), nil
	}
	if err != nil {
		return lifecycle.Steps{}, err
	}
	defer closer.Close()
	s, err := decodeSteps(row, id, p.scheduled)
	if err != nil {
		return s, fmt.Errorf("steps of %s (%s/%d): %w", id, p.recipient, p.seq, err)
	}
	return s, nil
}

// decodeSteps decodes a row of steps. A message still in its first status has no row, so an empty row is damaged.
func decodeSteps(row []byte, id esh3ar.MessageID, scheduled bool) (lifecycle.Steps, error) {
	if len(row) == 0 {
		return lifecycle.Steps{}, codec.ErrDamaged
	}
	return lifecycle.Decode(row, id, scheduled)
}

// readBody returns a message, and whether it exists. The id is used only if seq is zero.
func readBody(src source, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) (m esh3ar.Message, ok bool, err error) {
	row, closer, err := src.Get(appendBodyKey(make([]byte, 0, 24), r, seq, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	defer closer.Close()
	if m, err = decodeBody(row, r, seq); err != nil {
		return m, false, fmt.Errorf("body of %s/%d: %w", r, seq, err)
	}
	return m, true, nil
}

// readRecord returns a message with its progress, and whether it exists. The id is used only if seq is zero.
func readRecord(src source, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) (record esh3ar.Record, ok bool, err error) {
	if record.Message, ok, err = readBody(src, r, seq, id); err != nil || !ok {
		return record, ok, err
	}
	err = readProgress(src, &record)
	return record, err == nil, err
}

// readProgress sets the progress of a record from the steps of its message.
func readProgress(src source, record *esh3ar.Record) error {
	s, err := readSteps(src, locationOf(&record.Message), record.ID)
	if err == nil {
		record.Progress = s.Progress(record.SendAt)
	}
	return err
}

// locationOf returns the location of a message.
func locationOf(m *esh3ar.Message) location {
	return location{business: m.Business, recipient: m.Recipient, seq: m.Seq, priority: m.Priority, scheduled: !m.SendAt.IsZero()}
}

// readLocation returns the location of a message, and whether the message exists.
func readLocation(src source, id esh3ar.MessageID) (p location, ok bool, err error) {
	row, err := getRow(src, appendID(make([]byte, 0, 24), id))
	if err != nil || row == nil {
		return p, false, err
	}
	if p, err = decodeLocation(row); err != nil {
		return p, false, fmt.Errorf("place of %s: %w", id, err)
	}
	return p, true, nil
}

// readError returns err with the code StoreUnavailable, unless it has a code already.
func readError(operation string, err error) error {
	if _, ok := errors.AsType[*esh3ar.Error](err); ok {
		return err
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, diskguard.Plain(err))
}
