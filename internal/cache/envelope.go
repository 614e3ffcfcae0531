package cache

import (
	"encoding/binary"
	"errors"
	"time"
)

// envelope is how an entry lies in the second level:
//
//	1 byte  format
//	8 bytes end, Unix milliseconds, big endian
//	1 byte  1: found, 0: there is nothing under the key
//	strings the tags
//	strings the generations it lies under: the cache's, its key's, and each tag's
//	rest    the value
//
// Strings begin with their number, a string with its bytes', both as uvarints. The end is there besides the level's own clock, because a level that stood
// still may store and serve a value long after it was sent.
type envelope struct {
	expiresAt   time.Time
	found       bool
	tags        []string
	generations []string // the generations; two more than tags
	value       []byte
}

// envelopeFormat is the only one so far; another one is as good as missing.
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

// parseEnvelope reads one. Its value is part of raw.
func parseEnvelope(raw []byte) (e envelope, err error) {
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

// reader takes pieces from raw until one is bad; all after it are empty.
type reader struct {
	raw []byte
	bad bool
}

// count reads a number that cannot be more than the bytes that are left.
func (r *reader) count() int {
	n, size := binary.Uvarint(r.raw)
	if size <= 0 || n > uint64(len(r.raw)-size) {
		r.raw, r.bad = nil, true
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
