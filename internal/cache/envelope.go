package cache

import (
	"encoding/binary"
	"errors"
	"time"
)

// envelope is the stored form of an entry in the second level:
//
//	1 byte  format
//	8 bytes expiry, Unix milliseconds, big endian
//	1 byte  1: found, 0: not found
//	strings the tags
//	strings the generations: of the cache, of the key, and of each tag
//	rest    the value
//
// A list of strings is preceded by its length, each string by its number of bytes, all as uvarints. The expiry is stored in
// addition to the level's own TTL, because a level that stood still may serve a value long after it was sent.
type envelope struct {
	expiresAt   time.Time
	found       bool
	tags        []string
	generations []string // two more than tags: of the cache and of the key come first
	value       []byte
}

// envelopeFormat is the only format so far. Values in other formats count as missing.
const envelopeFormat = 1

var errEnvelope = errors.New("not an envelope of this format")

func (e *envelope) append(dst []byte) []byte {
	dst = append(dst, envelopeFormat)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.expiresAt.UnixMilli()))
	if e.found {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	return append(appendStrings(appendStrings(dst, e.tags), e.generations), e.value...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

// parseEnvelope parses raw. The value aliases raw.
func parseEnvelope(raw []byte) (envelope, error) {
	var e envelope
	if len(raw) < 10 || raw[0] != envelopeFormat || raw[9] > 1 {
		return e, errEnvelope
	}
	e.expiresAt, e.found = time.UnixMilli(int64(binary.BigEndian.Uint64(raw[1:]))), raw[9] == 1
	rest := reader{raw: raw[10:]}
	e.tags, e.generations = rest.strings(), rest.strings()
	if rest.bad || len(e.generations) != len(e.tags)+2 {
		return e, errEnvelope
	}
	e.value = rest.raw
	return e, nil
}

// reader reads fields from raw. After the first malformed field, bad is set and every further field is empty.
type reader struct {
	raw []byte
	bad bool
}

// count reads a length, which cannot exceed the number of bytes that are left.
func (r *reader) count() int {
	n, size := binary.Uvarint(r.raw)
	if size <= 0 || n > uint64(len(r.raw)-size) {
		r.raw = nil
		r.bad = true
		return 0
	}
	r.raw = r.raw[size:]
	return int(n)
}

func (r *reader) strings() (list []string) {
	for range r.count() {
		n := r.count()
		list = append(list, string(r.raw[:n]))
		r.raw = r.raw[n:]
	}
	return list
}
