package embedded

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Values begin with a format byte, so that a later version can add fields and still read old rows. Strings are a
// uvarint length and bytes; times are milliseconds as varints, as differences where there is something near.

const rowFormat = 1

var errRow = errors.New("row is damaged")

// reader takes a row apart. After a fault it gives zeros, and bad stays set: callers check once, at the end.
type reader struct {
	row []byte
	bad bool
}

func newReader(row []byte) *reader {
	r := &reader{row: row}
	if r.byte() != rowFormat {
		r.bad = true
	}
	return r
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.row) {
		r.bad, r.row = true, nil
		return nil
	}
	b := r.row[:n]
	r.row = r.row[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.row)
	if n <= 0 {
		r.bad, r.row = true, nil
		return 0
	}
	r.row = r.row[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.row)
	if n <= 0 {
		r.bad, r.row = true, nil
		return 0
	}
	r.row = r.row[n:]
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.row)) {
		r.bad, r.row = true, nil
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *reader) uuid() (u [16]byte) {
	copy(u[:], r.bytes(16))
	return u
}

func (r *reader) err() error {
	if r.bad {
		return errRow
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
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
	p.business.UUID = r.uuid()
	p.recipient = esh3ar.Recipient(r.uint64())
	p.seq = esh3ar.Seq(r.uint64())
	if p.priority = esh3ar.Priority(r.byte()); p.priority >= esh3ar.Priorities {
		r.bad = true
	}
	p.scheduled = len(r.row) > 0 && r.byte() == placeScheduled
	return p, r.err()
}

// appendBody writes what a message is; seq is that of its key.
func appendBody(dst []byte, m *esh3ar.Message, seq esh3ar.Seq) []byte {
	dst = append(append(dst, rowFormat), m.ID.UUID[:]...)
	dst = append(append(dst, m.Business.UUID[:]...), byte(m.Priority))
	dst = binary.AppendVarint(dst, int64(m.SendAt))
	dst = binary.AppendVarint(dst, int64(m.ExpiresAt))
	for _, s := range [...]string{m.From, m.Subject, m.Content, m.CorrelationID} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Metadata)))
	for name, value := range m.Metadata {
		dst = appendString(appendString(dst, name), value)
	}
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
	m.ID.UUID = r.uuid()
	m.Business.UUID = r.uuid()
	m.Recipient, m.Seq, m.Priority = recipient, seq, esh3ar.Priority(r.byte())
	m.SendAt, m.ExpiresAt = esh3ar.Time(r.varint()), esh3ar.Time(r.varint())
	m.From, m.Subject, m.Content, m.CorrelationID = r.string(), r.string(), r.string(), r.string()
	if n := r.uvarint(); n > uint64(len(r.row)) {
		r.bad = true
	} else if n > 0 {
		m.Metadata = make(map[string]string, n)
		for range n {
			name := r.string()
			m.Metadata[name] = r.string()
		}
	}
	if len(r.row) > 0 {
		m.TTL = time.Duration(r.uvarint()) * time.Second
	}
	if seq == 0 {
		m.Recipient = esh3ar.Recipient(r.uvarint())
	}
	if m.Priority >= esh3ar.Priorities {
		r.bad = true
	}
	return m, r.err()
}

// taskRow is what a task's key does not say.
func appendTaskRow(dst []byte, life esh3ar.Life, r esh3ar.Recipient) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, rowFormat), uint64(life)), uint64(r))
}

func decodeTaskRow(row []byte, t *esh3ar.Task) error {
	r := newReader(row)
	t.Life, t.Recipient = esh3ar.Life(r.uvarint()), esh3ar.Recipient(r.uvarint())
	return r.err()
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
		dst = appendString(binary.AppendUvarint(dst, uint64(rc.Recipient)), rc.CorrelationID)
	}
	return dst
}

func decodeIdem(row []byte) (k idemRow, err error) {
	r := newReader(row)
	copy(k.fingerprint[:], r.bytes(32))
	k.expires = esh3ar.Time(r.varint())
	k.batch.UUID = r.uuid()
	n := r.uvarint()
	if n > uint64(len(r.row)) {
		return k, errRow
	}
	k.receipts = make([]esh3ar.Receipt, n)
	for i := range k.receipts {
		rc := &k.receipts[i]
		rc.ID.UUID = r.uuid()
		rc.Status, rc.Seq = esh3ar.Status(r.byte()), esh3ar.Seq(r.uvarint())
		rc.Recipient, rc.CorrelationID = esh3ar.Recipient(r.uvarint()), r.string()
		if r.bad || rc.Status >= esh3ar.Statuses {
			return k, errRow
		}
	}
	return k, r.err()
}
