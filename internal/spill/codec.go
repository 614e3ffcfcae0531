package spill

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/esh3artech/esh3ar"
)

// A row begins with a format byte and the CRC-32C of the rest: pebble has sums of its own for what lies on the disk, these
// are for what happened before and after. Strings are a uvarint length and bytes, times milliseconds as varints.

const rowFormat = 1

var (
	errRow     = errors.New("row is damaged")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const rowHead = 1 + 4

// The flags of a call.
const (
	hasKey   = 1
	hasBatch = 2
)

// appendCall writes a call as one row.
func appendCall(dst []byte, c *esh3ar.Call) []byte {
	start := len(dst)
	dst = append(dst, rowFormat, 0, 0, 0, 0, 0)
	flags := &dst[start+rowHead]
	if c.Key != nil {
		*flags |= hasKey
	}
	if !c.Batch.IsZero() {
		*flags |= hasBatch
	}
	dst = append(dst, c.Business.UUID[:]...)
	if !c.Batch.IsZero() {
		dst = append(dst, c.Batch.UUID[:]...)
	}
	if c.Key != nil {
		dst = append(appendString(dst, c.Key.Key), c.Key.Fingerprint[:]...)
		dst = binary.AppendVarint(dst, int64(c.Key.ExpiresAt))
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Messages)))
	for _, m := range c.Messages {
		dst = appendMessage(dst, m)
	}
	binary.BigEndian.PutUint32(dst[start+1:], crc32.Checksum(dst[start+rowHead:], castagnoli))
	return dst
}

// appendMessage writes what its call does not say of a message; it has no seq yet.
func appendMessage(dst []byte, m *esh3ar.Message) []byte {
	dst = append(append(dst, m.ID.UUID[:]...), byte(m.Priority))
	dst = binary.AppendUvarint(dst, uint64(m.Recipient))
	for _, t := range [...]int64{int64(m.SendAt), int64(m.TTL), int64(m.ExpiresAt)} {
		dst = binary.AppendVarint(dst, t)
	}
	for _, s := range [...]string{m.From, m.Subject, m.Content, m.CorrelationID} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Metadata)))
	for name, value := range m.Metadata {
		dst = appendString(appendString(dst, name), value)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decodeCall reads a row; its slices and strings are its own. The call is marked as drained.
func decodeCall(row []byte) (*esh3ar.Call, error) {
	if len(row) < rowHead || row[0] != rowFormat || binary.BigEndian.Uint32(row[1:]) != crc32.Checksum(row[rowHead:], castagnoli) {
		return nil, errRow
	}
	r := &reader{row: row[rowHead:]}
	c := &esh3ar.Call{Drained: true}
	flags := r.byte()
	c.Business.UUID = r.uuid()
	if flags&hasBatch != 0 {
		c.Batch.UUID = r.uuid()
	}
	if flags&hasKey != 0 {
		c.Key = &esh3ar.IdempotencyKey{Key: r.string()}
		copy(c.Key.Fingerprint[:], r.bytes(len(c.Key.Fingerprint)))
		c.Key.ExpiresAt = esh3ar.Time(r.varint())
	}
	n := r.count()
	for range n {
		m := r.message()
		m.Business = c.Business
		c.Messages = append(c.Messages, m)
	}
	if r.bad || len(r.row) > 0 {
		return nil, errRow
	}
	return c, nil
}

// reader takes a row apart. After a fault it gives zeros, and bad stays set: callers check once, at the end.
type reader struct {
	row []byte
	bad bool
}

func (r *reader) message() *esh3ar.Message {
	m := &esh3ar.Message{}
	m.ID.UUID = r.uuid()
	m.Priority = esh3ar.Priority(r.byte())
	m.Recipient = esh3ar.Recipient(r.uvarint())
	m.SendAt, m.TTL, m.ExpiresAt = esh3ar.Time(r.varint()), time.Duration(r.varint()), esh3ar.Time(r.varint())
	m.From, m.Subject, m.Content, m.CorrelationID = r.string(), r.string(), r.string(), r.string()
	if n := r.count(); n > 0 {
		m.Metadata = make(map[string]string, n)
		for range n {
			name := r.string()
			m.Metadata[name] = r.string()
		}
	}
	return m
}

// count reads how many follow; each takes a byte at least, so a damaged count cannot ask for more than there is.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.row)) {
		r.bad, r.row = true, nil
		return 0
	}
	return int(n)
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

func (r *reader) string() string { return string(r.bytes(r.count())) }

func (r *reader) uuid() (u [16]byte) {
	copy(u[:], r.bytes(16))
	return u
}

// asideRow is a call in quarantine: when and why it got there, and its row as it was.
func asideRow(at esh3ar.Time, reason string, row []byte) []byte {
	dst := binary.AppendVarint([]byte{rowFormat}, int64(at))
	return append(appendString(dst, reason), row...)
}

func decodeAside(value []byte) (at esh3ar.Time, reason string, row []byte, err error) {
	r := &reader{row: value}
	if r.byte() != rowFormat {
		r.bad = true
	}
	at, reason = esh3ar.Time(r.varint()), r.string()
	if r.bad {
		return 0, "", nil, errRow
	}
	return at, reason, r.row, nil
}
