package lifecycle

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Entry is an event in a log that stores many events per row. It omits the fields that the message itself contains.
type Entry struct {
	Message   esh3ar.MessageID
	Business  esh3ar.BusinessID
	Recipient esh3ar.Recipient
	Version   uint32
	Annotated bool // whether the message has a correlation id or metadata, which its events must carry
	Step
}

// entryAnnotated is the flag bit of Entry.More.
const entryAnnotated = 1

// Append appends the encoded entry to dst.
func (e *Entry) Append(dst []byte) []byte {
	flags := byte(0)
	if e.Annotated {
		flags = entryAnnotated
	}
	dst = append(append(append(dst, format, flags), e.Message.UUID[:]...), e.Business.UUID[:]...)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.Recipient)), uint64(e.Version))
	dst = append(binary.AppendUvarint(dst, uint64(e.Life)), byte(e.Status))
	dst = binary.AppendUvarint(dst, uint64(e.Attempt))
	return codec.AppendText(binary.AppendVarint(dst, int64(e.At)), e.Reason)
}

// DecodeEntry decodes the first entry of a row and returns the rest of the row.
func DecodeEntry(entries []byte) (e Entry, rest []byte, err error) {
	r := codec.NewReader(entries)
	r.Format(format)
	e.Annotated = r.Byte()&entryAnnotated != 0
	e.Message.UUID, e.Business.UUID = r.UUID(), r.UUID()
	e.Recipient, e.Version = esh3ar.Recipient(r.Uvarint()), uint32(r.Uvarint())
	e.Life, e.Status = esh3ar.Life(r.Uvarint()), esh3ar.Status(r.Byte())
	e.Attempt = int(r.Uvarint())
	e.At, e.Reason = esh3ar.Time(r.Varint()), r.Text()
	if e.Status >= esh3ar.Statuses {
		r.Fail()
	}
	return e, r.Rest(), r.Err()
}

// Event returns the event without the correlation id and metadata of its message.
func (e *Entry) Event() esh3ar.Event {
	return esh3ar.Event{
		ID: esh3ar.EventIDOf(e.Message, e.Version, e.At), Message: e.Message, Business: e.Business, Version: e.Version,
		Life: e.Life, Status: e.Status, At: e.At, Recipient: e.Recipient, Attempt: e.Attempt, Reason: e.Reason,
	}
}
