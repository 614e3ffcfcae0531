package codec_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"testing"

	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// sampleRow returns a row with a field of each type.
func sampleRow() []byte {
	row := append([]byte{3}, make([]byte, 16)...)
	row = binary.BigEndian.AppendUint64(append(row, 'x'), 1<<63)
	row = binary.AppendVarint(binary.AppendUvarint(row, 300), -300)
	row = codec.AppendText(codec.AppendText(row, "text"), []byte{})
	row = codec.AppendTexts(codec.AppendTexts(row, map[string]string{"a": "1", "b": ""}), nil)
	return append(row, "rest"...)
}

// read decodes the row of sampleRow, and reports whether all values are as written.
func read(row []byte) (same bool, err error) {
	r := codec.NewReader(row)
	r.Format(3)
	same = r.UUID() == [16]byte{} && r.Byte() == 'x' && r.Uint64() == 1<<63 && r.Uvarint() == 300 && r.Varint() == -300 &&
		r.Text() == "text" && r.Text() == "" && maps.Equal(r.Texts(), map[string]string{"a": "1", "b": ""}) && r.Texts() == nil &&
		string(r.Bytes(4)) == "rest" && len(r.Rest()) == 0
	return same, r.Err()
}

func TestReader_AllFields_AreReadAsWritten(t *testing.T) {
	t.Parallel()
	row := sampleRow()
	if same, err := read(row); !same || err != nil {
		t.Errorf("decoded row differs; error %v, want nil", err)
	}
	for n := range row {
		if _, err := read(row[:n]); !errors.Is(err, codec.ErrDamaged) {
			t.Errorf("first %d of %d bytes: got %v, want ErrDamaged", n, len(row), err)
		}
	}
	row[0] = 4
	if _, err := read(row); !errors.Is(err, codec.ErrDamaged) {
		t.Errorf("unknown format: got %v, want ErrDamaged", err)
	}
}

// TestReader_AfterFailure_StaysFailed: after a failure, reads return zero values and the error stays.
func TestReader_AfterFailure_StaysFailed(t *testing.T) {
	t.Parallel()
	r := codec.NewReader(append([]byte{1}, "text"...))
	r.Fail()
	if r.Byte() != 0 || r.Uvarint() != 0 || r.Text() != "" || r.Bytes(0) != nil || !errors.Is(r.Err(), codec.ErrDamaged) {
		t.Error("a read after Fail returned data")
	}
	r = codec.NewReader(binary.AppendUvarint(nil, 1<<40)) // more than the row contains
	if n := r.Count(); n != 0 || r.Err() == nil {
		t.Errorf("got count %d, error %v; want 0 and an error", n, r.Err())
	}
	r = codec.NewReader([]byte("text"))
	if b := r.Bytes(-1); b != nil || r.Err() == nil {
		t.Errorf("Bytes(-1): got %d bytes and no error", len(b))
	}
}

// FuzzReader decodes a row by a fuzzed sequence of methods. No method may read past the end or make the rest longer, a
// failure must stay, and decoded maps must survive encoding.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, sampleRow())
	f.Add([]byte{7, 7}, binary.AppendUvarint(nil, 1<<63))
	f.Add([]byte{5, 6}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, plan, row []byte) {
		r := codec.NewReader(row)
		for _, step := range plan {
			before, failed := len(r.Rest()), r.Err() != nil
			zero := true
			switch step % 9 {
			case 0:
				r.Format(step)
			case 1:
				zero = r.UUID() == [16]byte{}
			case 2:
				zero = r.Byte() == 0
			case 3:
				zero = r.Uint64() == 0
			case 4:
				zero = r.Uvarint() == 0
			case 5:
				zero = r.Varint() == 0
			case 6:
				text := r.Text()
				zero = text == ""
			case 7:
				texts := r.Texts()
				zero = failed && len(texts) == 0 || !failed
				if again := codec.NewReader(codec.AppendTexts(nil, texts)); r.Err() == nil && !maps.Equal(again.Texts(), texts) {
					t.Errorf("map %q differs after encoding and decoding", texts)
				}
			case 8:
				n := r.Count()
				zero = n == 0
				if n > len(r.Rest()) || n < 0 {
					t.Errorf("got count %d with %d bytes left", n, len(r.Rest()))
				}
			}
			if failed && (!zero || r.Err() == nil) || len(r.Rest()) > before || r.Err() != nil && len(r.Rest()) > 0 {
				t.Fatalf("step %d with %d bytes left of %x: failed before: %t, zero value: %t, error %v", step, before, row, failed, zero, r.Err())
			}
		}
	})
}
