package lifecycle

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

const format = 1

// Append appends the encoded steps to dst, without the first one. Times are differences to the previous step.
func (s *Steps) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, format), uint64(s.Attempts))
	dst = binary.AppendUvarint(dst, uint64(len(s.List)-1))
	last := s.List[0].At
	for _, st := range s.List[1:] {
		dst = append(binary.AppendUvarint(dst, uint64(st.Life)), byte(st.Status))
		dst = binary.AppendUvarint(dst, uint64(st.Attempt))
		dst = codec.AppendText(binary.AppendVarint(dst, int64(st.At-last)), st.Reason)
		last = st.At
	}
	return dst
}

// Decode decodes the steps of a message. An empty row means the first step only.
func Decode(steps []byte, id esh3ar.MessageID, scheduled bool) (Steps, error) {
	s := First(id, scheduled)
	if len(steps) == 0 {
		return s, nil
	}
	r := codec.NewReader(steps)
	r.Format(format)
	s.Attempts = int(r.Uvarint())
	last := s.List[0].At
	for range r.Uvarint() {
		st := Step{Life: esh3ar.Life(r.Uvarint()), Status: esh3ar.Status(r.Byte()), Attempt: int(r.Uvarint())}
		last += esh3ar.Time(r.Varint())
		st.At, st.Reason = last, r.Text()
		if st.Status >= esh3ar.Statuses {
			r.Fail()
		}
		if err := r.Err(); err != nil {
			return s, err
		}
		s.List = append(s.List, st)
	}
	return s, r.Err()
}
