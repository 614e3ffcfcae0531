// Package codec encodes and decodes rows of the stores, hints and other binary records. Fields follow each other without names. A
// string is a uvarint length and its bytes, a number is a varint or uvarint, and a time is milliseconds as a varint. Records that
// begin with a format byte can get new fields in later versions, which still read old records.
//
// Concurrency: a Reader must not be used concurrently.
package codec

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// ErrDamaged means that a row cannot be decoded.
var ErrDamaged = errors.New("row is damaged")

// Reader decodes a row. After a failure all methods return zero values and Err returns the error, so callers check it once,
// at the end. A count in a row is limited by the bytes that follow it, so a damaged row cannot cause large allocations.
// Texts needs the most memory, about 50 bytes per byte of the row.
type Reader struct {
	rest []byte // bytes not read yet
	bad  bool   // whether decoding has failed
}

// NewReader returns a Reader of row. Slices returned by its methods refer to row.
func NewReader(row []byte) Reader { return Reader{rest: row} }

// Rest returns the bytes that have not been read.
func (r *Reader) Rest() []byte { return r.rest }

// Fail marks the row as damaged. Callers use it for a field with an invalid value.
func (r *Reader) Fail() {
	r.rest = nil
	r.bad = true
}

// Err returns ErrDamaged if the row ended too early or was marked by Fail, else nil.
func (r *Reader) Err() error {
	if r.bad {
		return ErrDamaged
	}
	return nil
}

// Format reads the format byte, and fails if it is not want.
func (r *Reader) Format(want byte) {
	if r.Byte() != want {
		r.Fail()
	}
}

// Bytes reads n bytes. It fails if n is negative or exceeds the rest.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.Fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint64 reads eight bytes, big endian.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Uvarint reads an unsigned varint.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Varint reads a signed varint.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Count reads the number of elements that follow. It fails if that exceeds the number of bytes left, because an element
// takes at least one.
func (r *Reader) Count() int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Text reads a string.
func (r *Reader) Text() string { return string(r.Bytes(r.Count())) }

// UUID reads sixteen bytes.
func (r *Reader) UUID() [16]byte {
	var u [16]byte
	copy(u[:], r.Bytes(len(u)))
	return u
}

// Texts reads a map of strings; nil if it is empty.
func (r *Reader) Texts() map[string]string {
	n := r.Count()
	if n == 0 {
		return nil
	}
	texts := make(map[string]string, n)
	for range n {
		name := r.Text()
		texts[name] = r.Text()
	}
	return texts
}

// AppendText appends a string.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendTexts appends a map of strings, sorted by name.
func AppendTexts(dst []byte, texts map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(texts)))
	if len(texts) == 0 {
		return dst
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		dst = AppendText(AppendText(dst, name), texts[name])
	}
	return dst
}
