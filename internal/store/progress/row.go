package progress

import (
	"encoding/binary"
	"errors"

	"github.com/esh3artech/esh3ar"
)

// Rows begin with a format byte, so that a later version can add fields and still read old ones. Strings are a uvarint
// length and bytes; times are milliseconds as varints.

const format = 1

// ErrRow is a row that cannot be read.
var ErrRow = errors.New("row is damaged")

// Append writes all steps but the first; times are differences from step to step.
func (s *Steps) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, format), uint64(s.Attempts))
	dst = binary.AppendUvarint(dst, uint64(len(s.List)-1))
	last := s.List[0].At
	for _, st := range s.List[1:] {
		dst = append(binary.AppendUvarint(dst, uint64(st.Life)), byte(st.Status))
		dst = binary.AppendUvarint(dst, uint64(st.Attempt))
		dst = appendString(binary.AppendVarint(dst, int64(st.At-last)), st.Reason)
		last = st.At
	}
	return dst
}

// Decode reads the steps of a message; an empty row has the first step alone.
func Decode(row []byte, id esh3ar.MessageID, scheduled bool) (Steps, error) {
	s := First(id, scheduled)
	if len(row) == 0 {
		return s, nil
	}
	r := reader{row: row}
	r.bad = r.byte() != format
	s.Attempts = int(r.uvarint())
	last := s.List[0].At
	for range r.uvarint() {
		st := Step{Life: esh3ar.Life(r.uvarint()), Status: esh3ar.Status(r.byte()), Attempt: int(r.uvarint())}
		last += esh3ar.Time(r.varint())
		st.At, st.Reason = last, r.string()
		if r.bad || st.Status >= esh3ar.Statuses {
			return s, ErrRow
		}
		s.List = append(s.List, st)
	}
	if r.bad {
		return s, ErrRow
	}
	return s, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes a row apart. After a fault it gives zeros, and bad stays set: callers check once, at the end.
type reader struct {
	row []byte
	bad bool
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

func (r *reader) uuid() (u [16]byte) {
	copy(u[:], r.bytes(16))
	return u
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

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.row)) {
		r.bad, r.row = true, nil
		return ""
	}
	return string(r.bytes(int(n)))
}
