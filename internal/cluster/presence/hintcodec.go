package presence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/esh3artech/esh3ar"
)

// The wire format of hints. Nodes of adjacent versions exchange it, so it may only grow:
//
//	batch   = version, record …
//	record  = length, kind, hops, recipient, seq, life, flags, [message id], ids, [length, message], …
//	message = id, business, from, recipient, seq, priority, subject, content, correlation id, metadata, send at, ttl, expires at, …
//
// Version, kind, hops, flags and priority are one byte; an id is 16 bytes. Lengths, counts and values that are never negative are
// unsigned varints. The three times are signed varints in milliseconds. Texts, ids and metadata are preceded by their length or
// count.
//
// The … mark where a later version may add fields. A reader skips unknown fields of a record or message, and records of unknown
// kinds. If a change cannot be expressed that way, it increments the version. A reader rejects other versions; until all nodes are
// upgraded, messages between such nodes are delivered by the sweep.

const hintVersion = 1

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
		dst = appendBytes(dst, record)
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
		dst = appendBytes(dst, appendMessage(nil, h.Message))
	}
	return dst
}

func appendMessage(dst []byte, m *esh3ar.Message) []byte {
	dst = append(dst, m.ID.UUID[:]...)
	dst = append(dst, m.Business.UUID[:]...)
	dst = appendBytes(dst, m.From)
	dst = binary.AppendUvarint(dst, uint64(m.Recipient))
	dst = binary.AppendUvarint(dst, uint64(m.Seq))
	dst = append(dst, byte(m.Priority))
	dst = appendBytes(dst, m.Subject)
	dst = appendBytes(dst, m.Content)
	dst = appendBytes(dst, m.CorrelationID)
	dst = binary.AppendUvarint(dst, uint64(len(m.Metadata)))
	for _, name := range slices.Sorted(maps.Keys(m.Metadata)) { // sorted, so that equal messages have equal bytes
		dst = appendBytes(appendBytes(dst, name), m.Metadata[name])
	}
	dst = binary.AppendVarint(dst, int64(m.SendAt))
	dst = binary.AppendVarint(dst, m.TTL.Milliseconds())
	return binary.AppendVarint(dst, int64(m.ExpiresAt))
}

func appendBytes[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
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
	batch := reader{rest: data[1:]}
	var hints []Hint
	for len(batch.rest) > 0 {
		record := reader{rest: batch.bytes()}
		h := record.hint()
		if batch.damaged || record.damaged {
			return nil, errMalformedHints
		}
		if h.Kind.known() {
			hints = append(hints, h)
		}
	}
	return hints, nil
}

func (k HintKind) known() bool { return k >= Stored && k <= EndedUnacked }

// reader reads fields in sequence. After the first malformed field, damaged is set and every further field is zero.
type reader struct {
	rest    []byte
	damaged bool
}

func (r *reader) hint() Hint {
	var h Hint
	h.Kind = HintKind(r.byte())
	if !h.Kind.known() {
		return h // the fields of an unknown kind are unknown
	}
	h.Hops = r.byte()
	h.Recipient = esh3ar.Recipient(r.uvarint())
	h.Seq = esh3ar.Seq(r.uvarint())
	h.Life = esh3ar.Life(r.uint32())
	flags := r.byte()
	if flags&hasID != 0 {
		h.ID = esh3ar.MessageID{UUID: r.uuid()}
	}
	for range r.count(len(uuid.UUID{})) {
		h.IDs = append(h.IDs, esh3ar.MessageID{UUID: r.uuid()})
	}
	if flags&hasMessage != 0 {
		message := reader{rest: r.bytes()}
		h.Message = message.message()
		r.damaged = r.damaged || message.damaged
	}
	return h
}

func (r *reader) message() *esh3ar.Message {
	m := &esh3ar.Message{ID: esh3ar.MessageID{UUID: r.uuid()}, Business: esh3ar.BusinessID{UUID: r.uuid()}}
	m.From = string(r.bytes())
	m.Recipient, m.Seq = esh3ar.Recipient(r.uvarint()), esh3ar.Seq(r.uvarint())
	m.Priority = esh3ar.Priority(r.byte())
	r.damaged = r.damaged || m.Priority >= esh3ar.Priorities // priorities are used as array indexes
	m.Subject, m.Content, m.CorrelationID = string(r.bytes()), string(r.bytes()), string(r.bytes())
	for range r.count(2) { // a pair takes at least two bytes: two empty strings
		if m.Metadata == nil {
			m.Metadata = map[string]string{}
		}
		name := string(r.bytes())
		m.Metadata[name] = string(r.bytes())
	}
	m.SendAt = esh3ar.Time(r.varint())
	m.TTL = r.duration()
	m.ExpiresAt = esh3ar.Time(r.varint())
	return m
}

// next removes and returns the first n bytes.
func (r *reader) next(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest = nil
		r.damaged = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uuid() (id uuid.UUID) {
	copy(id[:], r.next(uint64(len(id))))
	return id
}

func (r *reader) bytes() []byte { return r.next(r.uvarint()) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) duration() time.Duration {
	ms := r.varint()
	r.damaged = r.damaged || ms != ms*int64(time.Millisecond)/int64(time.Millisecond)
	return time.Duration(ms) * time.Millisecond
}

// skip removes the n bytes of a varint. n is 0 or negative if the varint is incomplete or longer than 64 bits.
func (r *reader) skip(n int) {
	if n <= 0 {
		r.rest = nil
		r.damaged = true
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	r.damaged = r.damaged || v > math.MaxUint32
	return uint32(v)
}

// count reads the number of elements that follow, each at least size bytes long. It rejects a count that the remaining bytes cannot
// hold.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if v > uint64(len(r.rest)/size) {
		r.rest = nil
		r.damaged = true
		return 0
	}
	return int(v)
}
