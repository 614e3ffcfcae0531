package esh3ar

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// The identifiers of the platform. All are UUIDv7 (RFC 9562, section 5.7) with a text form of 36 lower-case characters. The zero value
// means "none". They are distinct types so that the compiler finds mistakes.
type (
	// MessageID identifies a message through redeliveries, restarts and replays. Its time part is the creation time of the message, so
	// ids sort by it.
	MessageID struct{ uuid.UUID }
	// BatchID identifies a batch call.
	BatchID struct{ uuid.UUID }
	// BusinessID identifies a business, the caller of the REST API.
	BusinessID struct{ uuid.UUID }
	// KeyID identifies an API key. It is not secret.
	KeyID struct{ uuid.UUID }
	// EventID identifies a status event. A consumer that receives an EventID again receives a repetition.
	EventID struct{ uuid.UUID }
)

// NewMessageID returns an id with the current time. The ids of one process rise strictly.
func NewMessageID() MessageID { return MessageID{uuid.Must(uuid.NewV7())} }

// NewBatchID returns an id with the current time.
func NewBatchID() BatchID { return BatchID{uuid.Must(uuid.NewV7())} }

// NewBusinessID returns an id with the current time.
func NewBusinessID() BusinessID { return BusinessID{uuid.Must(uuid.NewV7())} }

// NewKeyID returns an id with the current time.
func NewKeyID() KeyID { return KeyID{uuid.Must(uuid.NewV7())} }

// MessageIDAt returns the id with the given time and entropy, for reproducible simulations. The first twelve bits of the entropy decide
// the order within a millisecond.
func MessageIDAt(at Time, entropy [10]byte) MessageID { return MessageID{uuidV7(at, entropy)} }

// EventIDOf returns the id of a message's event with this version. It is a function of data that the store has anyway, so an event has the
// same id in every read, and no store needs to store it.
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

// CreatedAt returns the time part of the id.
func (id MessageID) CreatedAt() Time {
	return Time(binary.BigEndian.Uint64(id.UUID[:8]) >> 16) // the first 48 bits
}

// IsZero reports whether the id is zero.
func (id MessageID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id is zero.
func (id BatchID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id is zero.
func (id BusinessID) IsZero() bool { return id.UUID == uuid.Nil }

// ParseMessageID parses the 36-character form. It accepts no other.
func ParseMessageID(s string) (MessageID, error) {
	u, err := parseUUID(s)
	return MessageID{u}, err
}

// ParseBusinessID parses the 36-character form. It accepts no other.
func ParseBusinessID(s string) (BusinessID, error) {
	u, err := parseUUID(s)
	return BusinessID{u}, err
}

// ParseKeyID parses the 36-character form. It accepts no other.
func ParseKeyID(s string) (KeyID, error) {
	u, err := parseUUID(s)
	return KeyID{u}, err
}

func parseUUID(s string) (uuid.UUID, error) {
	if len(s) != 36 { // uuid.Parse also accepts URNs and braces, so one id would have several texts
		return uuid.Nil, fmt.Errorf("%q is not a 36-character UUID", s)
	}
	return uuid.Parse(s)
}

// uuidV7 returns a UUID with 48 bits of time in milliseconds and 74 bits of entropy.
func uuidV7(at Time, entropy [10]byte) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(at)<<16) // the lower 16 bits are overwritten
	copy(u[6:], entropy[:])
	u[6] = u[6]&0x0f | 0x70 // version 7
	u[8] = u[8]&0x3f | 0x80 // RFC 9562 variant
	return u
}
