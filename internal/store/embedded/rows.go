package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

func readCounter(src source, r esh3ar.Recipient) (esh3ar.Seq, error) {
	row, err := getRow(src, appendCounter(nil, r))
	if err != nil || row == nil {
		return 0, err
	}
	if len(row) != 8 {
		return 0, fmt.Errorf("counter of %s: %w", r, errRow)
	}
	return esh3ar.Seq(binary.BigEndian.Uint64(row)), nil
}

// readSteps reads what happened to a message; a message without a row stands where it began.
func readSteps(src source, r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID) (steps, error) {
	row, closer, err := src.Get(appendRecipientSeq(make([]byte, 0, 24), stepsKey, r, seq))
	if errors.Is(err, pebble.ErrNotFound) {
		return firstSteps(id), nil
	}
	if err != nil {
		return steps{}, err
	}
	defer closer.Close()
	s, err := decodeSteps(row, id)
	if err != nil {
		return s, fmt.Errorf("steps of %s/%d: %w", r, seq, err)
	}
	return s, nil
}

// readBody reads a message; ok tells whether it is there.
func readBody(src source, r esh3ar.Recipient, seq esh3ar.Seq) (m esh3ar.Message, ok bool, err error) {
	row, closer, err := src.Get(appendRecipientSeq(make([]byte, 0, 24), bodyKey, r, seq))
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

// readRecord reads a message with its progress.
func readRecord(src source, r esh3ar.Recipient, seq esh3ar.Seq) (record esh3ar.Record, ok bool, err error) {
	if record.Message, ok, err = readBody(src, r, seq); err != nil || !ok {
		return record, ok, err
	}
	s, err := readSteps(src, r, seq, record.ID)
	if err != nil {
		return record, false, err
	}
	record.Progress = s.progress(record.SendAt)
	return record, true, nil
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
