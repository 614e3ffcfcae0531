package embedded

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Every row begins with a format byte. Times are stored as differences where a near reference exists.

const rowFormat = 1

// newReader returns a reader that is past the format byte, or failed if the format is unknown.
func newReader(row []byte) codec.Reader {
	r := codec.NewReader(row)
	r.Format(rowFormat)
	return r
}

// location is the row of a message id: what settling needs to know about a message without reading its body.
type location struct {
	business  esh3ar.BusinessID
	recipient esh3ar.Recipient
	seq       esh3ar.Seq // zero if the message has no seq yet
	priority  esh3ar.Priority
	scheduled bool // whether the first status was Scheduled
}

// locationScheduled is the flag byte at the end of the row of a message whose first status was Scheduled. Other rows have no
// flag byte.
const locationScheduled = 1

func (p location) append(dst []byte) []byte {
	dst = append(append(dst, rowFormat), p.business.UUID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.recipient))
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.seq))
	dst = append(dst, byte(p.priority))
	if p.scheduled {
		dst = append(dst, locationScheduled)
	}
	return dst
}

func decodeLocation(row []byte) (location, error) {
	var p location
	r := newReader(row)
	p.business.UUID = r.UUID()
	p.recipient = esh3ar.Recipient(r.Uint64())
	p.seq = esh3ar.Seq(r.Uint64())
	p.priority = esh3ar.Priority(r.Byte())
	if p.priority >= esh3ar.Priorities {
		r.Fail()
	}
	p.scheduled = len(r.Rest()) > 0 && r.Byte() == locationScheduled
	return p, r.Err()
}

// bodyFormat is the format byte of bodies. Format 1 had an encoding of its own.
const bodyFormat = 2

// appendBody appends the body of a message that has the given seq. Its key names a seq and then the recipient, so the row leaves them out.
func appendBody(dst []byte, m *esh3ar.Message, seq esh3ar.Seq) []byte {
	stored := *m
	stored.Seq = 0
	if seq != 0 {
		stored.Recipient = 0
	}
	return codec.AppendMessage(append(dst, bodyFormat), &stored)
}

// decodeBody decodes a body whose key names seq; zero if it names an id. recipient is used only if seq is not zero.
func decodeBody(row []byte, recipient esh3ar.Recipient, seq esh3ar.Seq) (esh3ar.Message, error) {
	r := codec.NewReader(row)
	r.Format(bodyFormat)
	m := r.Message()
	m.Seq = seq
	if seq != 0 {
		m.Recipient = recipient
	}
	return m, r.Err()
}

// appendTaskRow appends the fields of a task that its key does not contain.
func appendTaskRow(dst []byte, life esh3ar.Life, r esh3ar.Recipient) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, rowFormat), uint64(life)), uint64(r))
}

func decodeTaskRow(row []byte, t *esh3ar.Task) error {
	r := newReader(row)
	t.Life, t.Recipient = esh3ar.Life(r.Uvarint()), esh3ar.Recipient(r.Uvarint())
	return r.Err()
}

// deadLetterRow returns the value of a dead letter, which records whether it was discarded.
func deadLetterRow(discarded bool) []byte {
	if discarded {
		return []byte{rowFormat, 1}
	}
	return []byte{rowFormat, 0}
}

func isDiscarded(row []byte) bool { return len(row) > 1 && row[1] == 1 }

// idemRow is the row of an idempotency key: the fingerprint of its call, and the answer.
type idemRow struct {
	fingerprint [32]byte
	expires     esh3ar.Time
	batch       esh3ar.BatchID
	receipts    []esh3ar.Receipt
}

func (k *idemRow) append(dst []byte) []byte {
	dst = append(append(dst, rowFormat), k.fingerprint[:]...)
	dst = binary.AppendVarint(dst, int64(k.expires))
	dst = append(dst, k.batch.UUID[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(k.receipts)))
	for i := range k.receipts {
		rc := &k.receipts[i]
		dst = append(dst, rc.ID.UUID[:]...)
		dst = binary.AppendUvarint(append(dst, byte(rc.Status)), uint64(rc.Seq))
		dst = codec.AppendText(binary.AppendUvarint(dst, uint64(rc.Recipient)), rc.CorrelationID)
	}
	return dst
}

func decodeIdem(row []byte) (idemRow, error) {
	var k idemRow
	r := newReader(row)
	copy(k.fingerprint[:], r.Bytes(32))
	k.expires = esh3ar.Time(r.Varint())
	k.batch.UUID = r.UUID()
	k.receipts = make([]esh3ar.Receipt, r.Count())
	for i := range k.receipts {
		rc := &k.receipts[i]
		rc.ID.UUID = r.UUID()
		rc.Status, rc.Seq = esh3ar.Status(r.Byte()), esh3ar.Seq(r.Uvarint())
		rc.Recipient, rc.CorrelationID = esh3ar.Recipient(r.Uvarint()), r.Text()
		if rc.Status >= esh3ar.Statuses {
			r.Fail()
		}
	}
	return k, r.Err()
}
