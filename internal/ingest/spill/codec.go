package spill

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// A row is a format byte, the CRC-32C of the rest, and the rest. Pebble has checksums of its own for the data on disk; these also cover
// the time before and after.

const rowFormat = 2

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowHeaderLen is the length of the format byte and the checksum.
const rowHeaderLen = 1 + 4

// The flags of a call.
const (
	hasKey   = 1
	hasBatch = 2
)

// appendCall appends the row of a call to dst.
func appendCall(dst []byte, c *esh3ar.Call) []byte {
	start := len(dst)
	dst = append(dst, rowFormat, 0, 0, 0, 0, 0)
	flags := &dst[start+rowHeaderLen]
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
		dst = append(codec.AppendText(dst, c.Key.Key), c.Key.Fingerprint[:]...)
		dst = binary.AppendVarint(dst, int64(c.Key.ExpiresAt))
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Messages)))
	for _, m := range c.Messages {
		dst = codec.AppendMessage(dst, m)
	}
	binary.BigEndian.PutUint32(dst[start+1:], crc32.Checksum(dst[start+rowHeaderLen:], castagnoli))
	return dst
}

// decodeCall decodes a row. The call is marked as drained and does not refer to the row. The error is codec.ErrDamaged.
func decodeCall(row []byte) (*esh3ar.Call, error) {
	if len(row) < rowHeaderLen || row[0] != rowFormat || binary.BigEndian.Uint32(row[1:]) != crc32.Checksum(row[rowHeaderLen:], castagnoli) {
		return nil, codec.ErrDamaged
	}
	r := codec.NewReader(row[rowHeaderLen:])
	c := &esh3ar.Call{Drained: true}
	flags := r.Byte()
	c.Business.UUID = r.UUID()
	if flags&hasBatch != 0 {
		c.Batch.UUID = r.UUID()
	}
	if flags&hasKey != 0 {
		c.Key = &esh3ar.IdempotencyKey{Key: r.Text()}
		copy(c.Key.Fingerprint[:], r.Bytes(len(c.Key.Fingerprint)))
		c.Key.ExpiresAt = esh3ar.Time(r.Varint())
	}
	n := r.Count()
	for range n {
		m := r.Message()
		c.Messages = append(c.Messages, &m)
	}
	if r.Err() != nil || len(r.Rest()) > 0 {
		return nil, codec.ErrDamaged
	}
	return c, nil
}

// quarantineRow returns the row of a call in quarantine: when and why it moved there, and its row in the queue.
func quarantineRow(at esh3ar.Time, reason string, row []byte) []byte {
	dst := binary.AppendVarint([]byte{rowFormat}, int64(at))
	return append(codec.AppendText(dst, reason), row...)
}

// decodeQuarantineRow decodes a row that quarantineRow made. The returned row refers to value.
func decodeQuarantineRow(value []byte) (at esh3ar.Time, reason string, row []byte, err error) {
	r := codec.NewReader(value)
	r.Format(rowFormat)
	at, reason = esh3ar.Time(r.Varint()), r.Text()
	return at, reason, r.Rest(), r.Err()
}
