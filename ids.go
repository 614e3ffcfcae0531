package esh3ar

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// The identifiers of the platform. All are UUIDv7 (RFC 9562, section 5.7) and print as 36 lower-case
// characters; the zero value means "none". They are distinct types so that one cannot stand for another.
type (
	// MessageID names a message for its whole life, through repeats, restarts and replays. Its time part is
	// the message's creation time, so that ids sort as the messages were made.
	MessageID struct{ uuid.UUID }
	// BatchID names one batch call.
	BatchID struct{ uuid.UUID }
	// BusinessID names a business, the caller of the REST API.
	BusinessID struct{ uuid.UUID }
	// KeyID names an API key; it is no secret.
	KeyID struct{ uuid.UUID }
	// EventID names a status event; a consumer that sees the same EventID again sees a repeat.
	EventID struct{ uuid.UUID }
)

// NewMessageID makes an id of the current time. Ids made by one process rise strictly.
func NewMessageID() MessageID { return MessageID{uuid.Must(uuid.NewV7())} }

// NewBatchID makes an id of the current time.
func NewBatchID() BatchID { return BatchID{uuid.Must(uuid.NewV7())} }

// NewBusinessID makes an id of the current time.
func NewBusinessID() BusinessID { return BusinessID{uuid.Must(uuid.NewV7())} }

// NewKeyID makes an id of the current time.
func NewKeyID() KeyID { return KeyID{uuid.Must(uuid.NewV7())} }

// MessageIDAt makes the id of a given time and entropy; simulations use it to stay reproducible. Its first
// twelve bits of entropy decide the order within one millisecond.
func MessageIDAt(at Time, entropy [10]byte) MessageID { return MessageID{uuidV7(at, entropy)} }

// EventIDOf derives the id of a message's version-th event. It is a pure function of what the store keeps
// anyway, so an event has the same id wherever and however often it is read, and no store spends bytes on it.
func EventIDOf(message MessageID, version uint32, at Time) EventID {
	var seed [20]byte
	copy(seed[:], message.UUID[:])
	binary.BigEndian.PutUint32(seed[16:], version)
	sum := sha256.Sum256(seed[:])
	return EventID{uuidV7(at, [10]byte(sum[:10]))}
}

// AppendText appends the 36 characters of String.
func (id MessageID) AppendText(dst []byte) ([]byte, error) { return appendUUID(dst, id.UUID), nil }

func appendUUID(dst []byte, u uuid.UUID) []byte {
	var text [36]byte
	hex.Encode(text[:8], u[:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:], u[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(dst, text[:]...)
}

// CreatedAt is the time part of the id, in milliseconds.
func (id MessageID) CreatedAt() Time {
	return Time(binary.BigEndian.Uint64(id.UUID[:8]) >> 16)
}

// IsZero tells whether the id is absent.
func (id MessageID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero tells whether the id is absent.
func (id BatchID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero tells whether the id is absent.
func (id BusinessID) IsZero() bool { return id.UUID == uuid.Nil }

// ParseMessageID reads the 36-character form and no other.
func ParseMessageID(s string) (MessageID, error) {
	u, err := parseUUID(s)
	return MessageID{u}, err
}

// ParseBusinessID reads the 36-character form and no other.
func ParseBusinessID(s string) (BusinessID, error) {
	u, err := parseUUID(s)
	return BusinessID{u}, err
}

// ParseKeyID reads the 36-character form and no other.
func ParseKeyID(s string) (KeyID, error) {
	u, err := parseUUID(s)
	return KeyID{u}, err
}

func parseUUID(s string) (uuid.UUID, error) {
	if len(s) != 36 { // uuid.Parse also reads URNs and braces, which would give one id several spellings
		return uuid.Nil, fmt.Errorf("%q is not a 36-character UUID", s)
	}
	return uuid.Parse(s)
}

func uuidV7(at Time, entropy [10]byte) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(at)<<16)
	copy(u[6:], entropy[:])
	u[6] = u[6]&0x0f | 0x70 // version 7
	u[8] = u[8]&0x3f | 0x80 // RFC 9562 variant
	return u
}
