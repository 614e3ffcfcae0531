package lifecycle

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Entry is an event as a log keeps many of them in one row: what the message itself knows is left out.
type Entry struct {
	Message   esh3ar.MessageID
	Business  esh3ar.BusinessID
	Recipient esh3ar.Recipient
	Version   uint32
	More      bool // the message has a correlation id or metadata, which its events carry
	Step
}

// The flags of an entry.
const entryMore = 1

// Append writes an entry behind others.
func (e *Entry) Append(dst []byte) []byte {
	flags := byte(0)
	if e.More {
		flags = entryMore
	}
	dst = append(append(append(dst, format, flags), e.Message.UUID[:]...), e.Business.UUID[:]...)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.Recipient)), uint64(e.Version))
	dst = append(binary.AppendUvarint(dst, uint64(e.Life)), byte(e.Status))
	dst = binary.AppendUvarint(dst, uint64(e.Attempt))
	return codec.AppendText(binary.AppendVarint(dst, int64(e.At)), e.Reason)
}

// DecodeEntry reads the first entry of a row and gives the rest.
func DecodeEntry(entries []byte) (e Entry, rest []byte, err error) {
	r := codec.NewReader(entries)
	r.Format(format)
	e.More = r.Byte()&entryMore != 0
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

// Event is the whole event but for what only the message knows.
func (e *Entry) Event() esh3ar.Event {
	return esh3ar.Event{
		ID: esh3ar.EventIDOf(e.Message, e.Version, e.At), Message: e.Message, Business: e.Business, Version: e.Version,
		Life: e.Life, Status: e.Status, At: e.At, Recipient: e.Recipient, Attempt: e.Attempt, Reason: e.Reason,
	}
}
