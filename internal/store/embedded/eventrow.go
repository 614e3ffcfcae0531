package embedded

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// eventRow is the row of an event in the event log. It omits the correlation id and the metadata, which the body contains.
type eventRow struct {
	id        esh3ar.MessageID
	business  esh3ar.BusinessID
	recipient esh3ar.Recipient
	seq       esh3ar.Seq
	version   uint32
	lifecycle.Step
}

func (e *eventRow) append(dst []byte) []byte {
	dst = append(append(append(dst, rowFormat), e.id.UUID[:]...), e.business.UUID[:]...)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.recipient)), uint64(e.seq))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.version)), uint64(e.Life))
	dst = binary.AppendUvarint(append(dst, byte(e.Status)), uint64(e.Attempt))
	return codec.AppendText(binary.AppendVarint(dst, int64(e.At)), e.Reason)
}

func decodeEvent(row []byte) (eventRow, error) {
	var e eventRow
	r := newReader(row)
	e.id.UUID, e.business.UUID = r.UUID(), r.UUID()
	e.recipient, e.seq = esh3ar.Recipient(r.Uvarint()), esh3ar.Seq(r.Uvarint())
	e.version, e.Life = uint32(r.Uvarint()), esh3ar.Life(r.Uvarint())
	e.Status, e.Attempt = esh3ar.Status(r.Byte()), int(r.Uvarint())
	e.At, e.Reason = esh3ar.Time(r.Varint()), r.Text()
	if e.Status >= esh3ar.Statuses {
		r.Fail()
	}
	return e, r.Err()
}

// event returns the complete event. m is the body of its message, or nil if the body was purged.
func (e *eventRow) event(m *esh3ar.Message) esh3ar.Event {
	event := esh3ar.Event{
		ID: esh3ar.EventIDOf(e.id, e.version, e.At), Message: e.id, Business: e.business, Version: e.version,
		Life: e.Life, Status: e.Status, At: e.At, Recipient: e.recipient, Attempt: e.Attempt, Reason: e.Reason,
	}
	if m != nil {
		event.CorrelationID, event.Metadata = m.CorrelationID, m.Metadata
	}
	return event
}
