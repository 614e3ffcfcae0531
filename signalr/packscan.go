package signalr

import (
	"encoding/binary"
	"math"
)

// packKind is the kind of a MessagePack value, regardless of the width of its encoding.
type packKind uint8

const (
	packNil packKind = iota
	packBool
	packInt   // negative
	packUint  // zero and above
	packFloat // of either width
	packString
	packBinary
	packArray
	packMap
	packExt
)

// packHead is the decoded head of a value: its kind and its length, count or number.
type packHead struct {
	kind packKind
	n    uint64 // length in bytes, number of elements, or the value itself as bits
	ext  int8   // type of an extension
}

// packScanner reads and validates MessagePack without building values. It checks lengths and counts against the remaining
// bytes before they are used, so that a small message cannot cause a large allocation.
type packScanner struct {
	b []byte
	i int
}

func (s *packScanner) fail(what string) error {
	return dataErrorf("invalid MessagePack at byte %d: %s", s.i, what)
}

// head reads the head of a value: all of a number, the length of a string, the count of an array.
func (s *packScanner) head() (h packHead, err error) {
	if s.i >= len(s.b) {
		return h, s.fail("value is missing")
	}
	c := s.b[s.i]
	s.i++
	switch {
	case c <= 0x7f:
		return packHead{kind: packUint, n: uint64(c)}, nil
	case c <= 0x8f:
		return s.sized(packMap, uint64(c&0x0f))
	case c <= 0x9f:
		return s.sized(packArray, uint64(c&0x0f))
	case c <= 0xbf:
		return s.sized(packString, uint64(c&0x1f))
	case c >= 0xe0:
		return packHead{kind: packInt, n: uint64(int64(int8(c)))}, nil
	}
	return s.wide(c)
}

// wide reads the head of a value whose first byte encodes only its type.
func (s *packScanner) wide(c byte) (h packHead, err error) {
	switch c {
	case 0xc0:
		return packHead{kind: packNil}, nil
	case 0xc2, 0xc3:
		return packHead{kind: packBool, n: uint64(c & 1)}, nil
	case 0xc4, 0xc5, 0xc6:
		return s.measured(packBinary, 1<<(c-0xc4))
	case 0xc7, 0xc8, 0xc9:
		return s.measured(packExt, 1<<(c-0xc7))
	case 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3:
		return s.number(c)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return s.sized(packExt, 1<<(c-0xd4))
	case 0xd9, 0xda, 0xdb:
		return s.measured(packString, 1<<(c-0xd9))
	case 0xdc, 0xdd:
		return s.measured(packArray, 2<<(c-0xdc))
	case 0xde, 0xdf:
		return s.measured(packMap, 2<<(c-0xde))
	default:
		return h, s.fail("unknown type")
	}
}

// number reads a number of fixed width.
func (s *packScanner) number(c byte) (h packHead, err error) {
	width := 1 << ((c - 0xcc) & 3) // 1, 2, 4, 8 from 0xcc and from 0xd0
	if c <= 0xcb {
		width = 4 << (c - 0xca)
	}
	n, err := s.bits(width)
	switch {
	case c == 0xca:
		return packHead{kind: packFloat, n: math.Float64bits(float64(math.Float32frombits(uint32(n))))}, err
	case c == 0xcb:
		return packHead{kind: packFloat, n: n}, err
	case c <= 0xcf:
		return packHead{kind: packUint, n: n}, err
	}
	shift := 64 - 8*width
	signed := int64(n<<shift) >> shift
	if signed >= 0 {
		return packHead{kind: packUint, n: uint64(signed)}, err
	}
	return packHead{kind: packInt, n: uint64(signed)}, err
}

// bits reads an unsigned number of width bytes.
func (s *packScanner) bits(width int) (uint64, error) {
	if len(s.b)-s.i < width {
		return 0, s.fail("value is cut off")
	}
	b := s.b[s.i : s.i+width]
	s.i += width
	switch width {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	default:
		return binary.BigEndian.Uint64(b), nil
	}
}

// measured is like sized, with a size that it reads from the next width bytes.
func (s *packScanner) measured(kind packKind, width int) (h packHead, err error) {
	n, err := s.bits(width)
	if err != nil {
		return h, err
	}
	return s.sized(kind, n)
}

// sized returns the head of a value with n bytes or elements. It fails if the remaining bytes cannot hold them.
func (s *packScanner) sized(kind packKind, n uint64) (h packHead, err error) {
	h = packHead{kind: kind, n: n}
	least := n // minimum number of bytes: each element takes at least one
	if kind == packMap {
		least = 2 * n
	}
	if kind == packExt {
		typ, err := s.bits(1)
		if err != nil {
			return h, err
		}
		h.ext = int8(typ)
	}
	if least > uint64(len(s.b)-s.i) {
		return h, s.fail("more is announced than there is")
	}
	return h, nil
}

// take returns the next n bytes.
func (s *packScanner) take(n uint64) []byte {
	from := s.i
	s.i += int(n)
	return s.b[from:s.i:s.i]
}

// value skips one value at nesting level depth.
func (s *packScanner) value(depth int) error {
	h, err := s.head()
	if err != nil {
		return err
	}
	return s.rest(h, depth)
}

// rest skips the bytes of a value after its head h.
func (s *packScanner) rest(h packHead, depth int) error {
	n := h.n
	switch h.kind {
	case packString, packBinary, packExt:
		s.i += int(n)
		return nil
	case packMap:
		n *= 2
	case packArray:
	default:
		return nil
	}
	if depth >= maxDepth {
		return s.fail("nested too deep")
	}
	for ; n > 0; n-- {
		if err := s.value(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

func (s *packScanner) atEnd() bool { return s.i == len(s.b) }
