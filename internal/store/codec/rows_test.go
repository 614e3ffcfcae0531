package codec_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"testing"

	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// whole has a field of each kind.
func whole() []byte {
	row := append([]byte{3}, make([]byte, 16)...)
	row = binary.BigEndian.AppendUint64(append(row, 'x'), 1<<63)
	row = binary.AppendVarint(binary.AppendUvarint(row, 300), -300)
	row = codec.AppendText(codec.AppendText(row, "text"), []byte{})
	row = codec.AppendTexts(codec.AppendTexts(row, map[string]string{"a": "1", "b": ""}), nil)
	return append(row, "rest"...)
}

// read takes it apart and tells whether everything was as it was written.
func read(row []byte) (same bool, err error) {
	r := codec.NewReader(row)
	r.Format(3)
	same = r.UUID() == [16]byte{} && r.Byte() == 'x' && r.Uint64() == 1<<63 && r.Uvarint() == 300 && r.Varint() == -300 &&
		r.Text() == "text" && r.Text() == "" && maps.Equal(r.Texts(), map[string]string{"a": "1", "b": ""}) && r.Texts() == nil &&
		string(r.Bytes(4)) == "rest" && len(r.Rest()) == 0
	return same, r.Err()
}

func TestRow(t *testing.T) {
	t.Parallel()
	row := whole()
	if same, err := read(row); !same || err != nil {
		t.Errorf("it came back as another: %v", err)
	}
	for n := range row {
		if _, err := read(row[:n]); !errors.Is(err, codec.ErrDamaged) {
			t.Errorf("the first %d of %d bytes: %v, want damaged", n, len(row), err)
		}
	}
	row[0] = 4
	if _, err := read(row); !errors.Is(err, codec.ErrDamaged) {
		t.Errorf("a format that nobody knows: %v", err)
	}
}

// TestADamagedRowStaysDamaged: what is read behind a fault is zero, and more fields heal nothing.
func TestADamagedRowStaysDamaged(t *testing.T) {
	t.Parallel()
	r := codec.NewReader(append([]byte{1}, "text"...))
	r.Fail()
	if r.Byte() != 0 || r.Uvarint() != 0 || r.Text() != "" || r.Bytes(0) != nil || !errors.Is(r.Err(), codec.ErrDamaged) {
		t.Error("something was read of a row that is damaged")
	}
	r = codec.NewReader(binary.AppendUvarint(nil, 1<<40)) // asks for more than there is
	if n := r.Count(); n != 0 || r.Err() == nil {
		t.Errorf("a count of %d, %v", n, r.Err())
	}
	r = codec.NewReader([]byte("text"))
	if b := r.Bytes(-1); b != nil || r.Err() == nil {
		t.Errorf("%d bytes where -1 was asked for", len(b))
	}
}

// FuzzReader takes a row apart by a plan that is drawn too: nothing is read twice or from behind the end, a fault stays, and what was
// written is read.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, whole())
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
					t.Errorf("%q came back as others", texts)
				}
			case 8:
				n := r.Count()
				zero = n == 0
				if n > len(r.Rest()) || n < 0 {
					t.Errorf("%d are to follow in %d bytes", n, len(r.Rest()))
				}
			}
			if failed && (!zero || r.Err() == nil) || len(r.Rest()) > before || r.Err() != nil && len(r.Rest()) > 0 {
				t.Fatalf("step %d at %d of %x: failed before %t, zero %t, %v", step, before, row, failed, zero, r.Err())
			}
		}
	})
}
