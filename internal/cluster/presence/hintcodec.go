package presence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// The wire format of hints. Nodes of adjacent versions exchange it, so it may only grow:
//
//	batch   = version, record …
//	record  = length, kind, hops, recipient, seq, life, flags, [message id], ids, [length, message], …
//	message = the fields of codec.AppendMessage, …
//
// Version, kind, hops and flags are one byte; an id is 16 bytes. Lengths, counts and other numbers are unsigned varints. The ids are
// preceded by their count.
//
// The … mark where a later version may add fields. A reader skips unknown fields of a record or message, and records of unknown
// kinds. If a change cannot be expressed that way, it increments the version. A reader rejects other versions; until all nodes are
// upgraded, messages between such nodes are delivered by the sweep.

const hintVersion = 2

// Flags of a record.
const (
	hasID      = 1 << iota // Hint.ID is present
	hasMessage             // Hint.Message is present
)

// ErrHintVersion is returned for hints of a different format version.
var ErrHintVersion = errors.New("hints of another version")

// errMalformedHints is returned for bytes that are not valid hints.
var errMalformedHints = errors.New("the hints are damaged")

// AppendHints appends the encoded batch to dst.
func AppendHints(dst []byte, hints []Hint) []byte {
	dst = append(dst, hintVersion)
	var record []byte
	for i := range hints {
		record = hints[i].append(record[:0])
		dst = codec.AppendText(dst, record)
	}
	return dst
}

func (h *Hint) append(dst []byte) []byte {
	dst = append(dst, byte(h.Kind), h.Hops)
	dst = binary.AppendUvarint(dst, uint64(h.Recipient))
	dst = binary.AppendUvarint(dst, uint64(h.Seq))
	dst = binary.AppendUvarint(dst, uint64(h.Life))
	var flags byte
	if !h.ID.IsZero() {
		flags |= hasID
	}
	if h.Message != nil {
		flags |= hasMessage
	}
	dst = append(dst, flags)
	if flags&hasID != 0 {
		dst = append(dst, h.ID.UUID[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(h.IDs)))
	for _, id := range h.IDs {
		dst = append(dst, id.UUID[:]...)
	}
	if flags&hasMessage != 0 {
		dst = codec.AppendText(dst, codec.AppendMessage(nil, h.Message))
	}
	return dst
}

// DecodeHints decodes a batch and leaves out hints of unknown kinds. Its result uses memory in proportion to len(data) and does not
// alias data.
func DecodeHints(data []byte) ([]Hint, error) {
	if len(data) == 0 {
		return nil, errMalformedHints
	}
	if data[0] != hintVersion {
		return nil, fmt.Errorf("%w: %d, this node speaks %d", ErrHintVersion, data[0], hintVersion)
	}
	batch := codec.NewReader(data[1:])
	var hints []Hint
	for len(batch.Rest()) > 0 {
		record := codec.NewReader(batch.Bytes(batch.Count()))
		h := readHint(&record)
		if batch.Err() != nil || record.Err() != nil {
			return nil, errMalformedHints
		}
		if h.Kind.known() {
			hints = append(hints, h)
		}
	}
	return hints, nil
}

func (k HintKind) known() bool { return k >= Stored && k <= EndedUnacked }

// readHint reads the fields of a record. The fields of an unknown kind are unknown.
func readHint(r *codec.Reader) Hint {
	var h Hint
	h.Kind = HintKind(r.Byte())
	if !h.Kind.known() {
		return h
	}
	h.Hops = r.Byte()
	h.Recipient = esh3ar.Recipient(r.Uvarint())
	h.Seq = esh3ar.Seq(r.Uvarint())
	life := r.Uvarint()
	if life > math.MaxUint32 {
		r.Fail()
	}
	h.Life = esh3ar.Life(life)
	flags := r.Byte()
	if flags&hasID != 0 {
		h.ID.UUID = r.UUID()
	}
	h.IDs = readIDs(r)
	if flags&hasMessage != 0 {
		message := codec.NewReader(r.Bytes(r.Count()))
		m := message.Message()
		h.Message = &m
		if message.Err() != nil {
			r.Fail()
		}
	}
	return h
}

// readIDs reads a list of ids; nil if it is empty. The list uses no more memory than its bytes do.
func readIDs(r *codec.Reader) (ids []esh3ar.MessageID) {
	for range r.Count() {
		var id esh3ar.MessageID
		id.UUID = r.UUID()
		if r.Err() != nil {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}
