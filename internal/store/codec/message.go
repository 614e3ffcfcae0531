package codec

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/esh3artech/esh3ar"
)

// AppendMessage appends all fields of a message. This is the only encoding of a message outside of JSON and SQL: the embedded store, the
// spill and the hints between nodes use it. Its fields are, in this order:
//
//	id, business           16 bytes each
//	priority               one byte
//	recipient, seq         uvarints; seq is 0 if the message is not in its inbox yet
//	send at, expires at    varints, milliseconds since 1970; 0 if not set
//	ttl                    uvarint, milliseconds; 0 for no limit
//	from, subject, content, correlation id
//	metadata               sorted by name, so that equal messages have equal bytes
//
// A record may have fields of a later version behind these.
func AppendMessage(dst []byte, m *esh3ar.Message) []byte {
	dst = append(append(dst, m.ID.UUID[:]...), m.Business.UUID[:]...)
	dst = binary.AppendUvarint(append(dst, byte(m.Priority)), uint64(m.Recipient))
	dst = binary.AppendUvarint(dst, uint64(m.Seq))
	dst = binary.AppendVarint(dst, int64(m.SendAt))
	dst = binary.AppendVarint(dst, int64(m.ExpiresAt))
	dst = binary.AppendUvarint(dst, uint64(m.TTL.Milliseconds()))
	for _, text := range [...]string{m.From, m.Subject, m.Content, m.CorrelationID} {
		dst = AppendText(dst, text)
	}
	return AppendTexts(dst, m.Metadata)
}

// maxTTL is the longest TTL that a time.Duration can hold, in milliseconds.
const maxTTL = math.MaxInt64 / uint64(time.Millisecond)

// Message reads a message that AppendMessage wrote. It fails if the priority does not exist.
func (r *Reader) Message() esh3ar.Message {
	var m esh3ar.Message
	m.ID.UUID, m.Business.UUID = r.UUID(), r.UUID()
	m.Priority = esh3ar.Priority(r.Byte())
	m.Recipient, m.Seq = esh3ar.Recipient(r.Uvarint()), esh3ar.Seq(r.Uvarint())
	m.SendAt, m.ExpiresAt = esh3ar.Time(r.Varint()), esh3ar.Time(r.Varint())
	ttl := r.Uvarint()
	m.TTL = time.Duration(ttl) * time.Millisecond
	m.From, m.Subject, m.Content, m.CorrelationID = r.Text(), r.Text(), r.Text(), r.Text()
	m.Metadata = r.Texts()
	if m.Priority >= esh3ar.Priorities || ttl > maxTTL {
		r.Fail()
	}
	return m
}
