// Package codec writes and reads the rows of our stores and letters: fields one behind the other, without names. A string is
// a uvarint length and bytes, a number a varint or uvarint, a time milliseconds as a varint. What begins with a format byte
// can have fields added by a later version, which still reads old rows.
//
// Concurrency: a Reader is one goroutine's.
package codec

import (
	"encoding/binary"
	"errors"
)

// ErrDamaged is a row that cannot be read.
var ErrDamaged = errors.New("row is damaged")

// Reader takes a row apart. After a fault it gives zeros, and Err stays: callers ask once, at the end. A number in a row
// cannot ask for more than the row has bytes to fill; the names of Texts take the most memory, some fifty bytes for each byte.
type Reader struct {
	rest []byte
	bad  bool
}

// NewReader reads a row. Bytes that it gives are the row's own.
func NewReader(row []byte) Reader { return Reader{rest: row} }

// Rest is what has not been read.
func (r *Reader) Rest() []byte { return r.rest }

// Fail marks the row as damaged, for a field that has a value it cannot have.
func (r *Reader) Fail() { r.rest, r.bad = nil, true }

// Err is ErrDamaged if the row ended too early or a field was marked.
func (r *Reader) Err() error {
	if r.bad {
		return ErrDamaged
	}
	return nil
}

// Format reads the format byte, which must be this one.
func (r *Reader) Format(want byte) {
	if r.Byte() != want {
		r.Fail()
	}
}

// Bytes reads n bytes.
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

// Uint64 reads eight bytes, the highest first.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Varint reads a number.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Count reads how many follow. Each takes a byte at least: more than there are bytes is a fault.
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
func (r *Reader) UUID() (u [16]byte) {
	copy(u[:], r.Bytes(len(u)))
	return u
}

// Texts reads names and their values; nil where there are none.
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

// AppendText adds a string.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendTexts adds names and their values.
func AppendTexts(dst []byte, texts map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(texts)))
	for name, value := range texts {
		dst = AppendText(AppendText(dst, name), value)
	}
	return dst
}
