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

// readSteps reads what happened to a message; a message without a row stands where it began.
func readSteps(src source, p place, id esh3ar.MessageID) (lifecycle.Steps, error) {
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

// decodeSteps reads a row of steps. A message to which nothing has happened has none, so an empty one is damaged.
func decodeSteps(row []byte, id esh3ar.MessageID, scheduled bool) (lifecycle.Steps, error) {
	if len(row) == 0 {
		return lifecycle.Steps{}, codec.ErrDamaged
	}
	return lifecycle.Decode(row, id, scheduled)
}

// readBody reads a message; ok tells whether it is there. The id counts only where there is no seq.
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

// readRecord reads a message with its progress. The id counts only where there is no seq.
func readRecord(src source, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) (record esh3ar.Record, ok bool, err error) {
	if record.Message, ok, err = readBody(src, r, seq, id); err != nil || !ok {
		return record, ok, err
	}
	err = readProgress(src, &record)
	return record, err == nil, err
}

// readProgress adds the progress to a record that has its message.
func readProgress(src source, record *esh3ar.Record) error {
	s, err := readSteps(src, placeOf(&record.Message), record.ID)
	if err == nil {
		record.Progress = s.Progress(record.SendAt)
	}
	return err
}

// placeOf is the place of a message that was read.
func placeOf(m *esh3ar.Message) place {
	return place{business: m.Business, recipient: m.Recipient, seq: m.Seq, priority: m.Priority, scheduled: !m.SendAt.IsZero()}
}

// readPlace finds a message by id; ok tells whether it is there.
func readPlace(src source, id esh3ar.MessageID) (p place, ok bool, err error) {
	row, err := getRow(src, appendID(make([]byte, 0, 24), id))
	if err != nil || row == nil {
		return p, false, err
	}
	if p, err = decodePlace(row); err != nil {
		return p, false, fmt.Errorf("place of %s: %w", id, err)
	}
	return p, true, nil
}

// readError gives a failed read its code.
func readError(operation string, err error) error {
	if _, ok := errors.AsType[*esh3ar.Error](err); ok {
		return err
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, diskguard.Plain(err))
}
