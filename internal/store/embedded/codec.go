package embedded

import (
	"encoding/binary"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Values begin with a format byte. Times are differences where there is something near.

const rowFormat = 1

func newReader(row []byte) codec.Reader {
	r := codec.NewReader(row)
	r.Format(rowFormat)
	return r
}

// place is the row behind an id: all that settling needs to know of a message without reading its body.
type place struct {
	business  esh3ar.BusinessID
	recipient esh3ar.Recipient
	seq       esh3ar.Seq // zero: none yet
	priority  esh3ar.Priority
	scheduled bool // its first status was Scheduled
}

// placeScheduled is the flag behind the row of a message that began as Scheduled; others have no flags.
const placeScheduled = 1

func (p place) append(dst []byte) []byte {
	dst = append(append(dst, rowFormat), p.business.UUID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.recipient))
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.seq))
	if dst = append(dst, byte(p.priority)); p.scheduled {
		dst = append(dst, placeScheduled)
	}
	return dst
}

func decodePlace(row []byte) (p place, err error) {
	r := newReader(row)
	p.business.UUID = r.UUID()
	p.recipient = esh3ar.Recipient(r.Uint64())
	p.seq = esh3ar.Seq(r.Uint64())
	if p.priority = esh3ar.Priority(r.Byte()); p.priority >= esh3ar.Priorities {
		r.Fail()
	}
	p.scheduled = len(r.Rest()) > 0 && r.Byte() == placeScheduled
	return p, r.Err()
}

// appendBody writes what a message is; seq is that of its key.
func appendBody(dst []byte, m *esh3ar.Message, seq esh3ar.Seq) []byte {
	dst = append(append(dst, rowFormat), m.ID.UUID[:]...)
	dst = append(append(dst, m.Business.UUID[:]...), byte(m.Priority))
	dst = binary.AppendVarint(dst, int64(m.SendAt))
	dst = binary.AppendVarint(dst, int64(m.ExpiresAt))
	for _, s := range [...]string{m.From, m.Subject, m.Content, m.CorrelationID} {
		dst = codec.AppendText(dst, s)
	}
	dst = codec.AppendTexts(dst, m.Metadata)
	if m.TTL == 0 && seq != 0 {
		return dst
	}
	if dst = binary.AppendUvarint(dst, uint64(m.TTL/time.Second)); seq == 0 { // its key does not say for whom it is
		dst = binary.AppendUvarint(dst, uint64(m.Recipient))
	}
	return dst
}

// decodeBody reads a body whose key is recipient and seq; one without a seq says itself for whom it is.
func decodeBody(row []byte, recipient esh3ar.Recipient, seq esh3ar.Seq) (m esh3ar.Message, err error) {
	r := newReader(row)
	m.ID.UUID = r.UUID()
	m.Business.UUID = r.UUID()
	m.Recipient, m.Seq, m.Priority = recipient, seq, esh3ar.Priority(r.Byte())
	m.SendAt, m.ExpiresAt = esh3ar.Time(r.Varint()), esh3ar.Time(r.Varint())
	m.From, m.Subject, m.Content, m.CorrelationID = r.Text(), r.Text(), r.Text(), r.Text()
	m.Metadata = r.Texts()
	if len(r.Rest()) > 0 {
		m.TTL = time.Duration(r.Uvarint()) * time.Second
	}
	if seq == 0 {
		m.Recipient = esh3ar.Recipient(r.Uvarint())
	}
	if m.Priority >= esh3ar.Priorities {
		r.Fail()
	}
	return m, r.Err()
}

// taskRow is what a task's key does not say.
func appendTaskRow(dst []byte, life esh3ar.Life, r esh3ar.Recipient) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, rowFormat), uint64(life)), uint64(r))
}

func decodeTaskRow(row []byte, t *esh3ar.Task) error {
	r := newReader(row)
	t.Life, t.Recipient = esh3ar.Life(r.Uvarint()), esh3ar.Recipient(r.Uvarint())
	return r.Err()
}

// deadRow is the value of a dead letter: whether somebody discarded it.
func deadRow(discarded bool) []byte {
	if discarded {
		return []byte{rowFormat, 1}
	}
	return []byte{rowFormat, 0}
}

func discarded(row []byte) bool { return len(row) > 1 && row[1] == 1 }

// idemRow is what an idempotency key remembers.
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

func decodeIdem(row []byte) (k idemRow, err error) {
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
