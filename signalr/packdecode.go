package signalr

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// decode decodes a value into the variable that v points to. Common types have a fast path, all other types use reflection.
// The rules are those of encoding/json, so that a type has the same meaning in both protocols; binary data decodes into
// []byte and a timestamp into time.Time.
func (packProtocol) decode(argument []byte, v any) error {
	s := packScanner{b: argument}
	h, err := s.head()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *string:
		if h.kind == packString {
			*v = toValidUTF8(s.take(h.n))
			return nil
		}
	case *int64:
		if n, ok := h.int64(); ok {
			*v = n
			return nil
		}
	case *int:
		if n, ok := h.int64(); ok && int64(int(n)) == n {
			*v = int(n)
			return nil
		}
	case *[]byte:
		if h.kind == packBinary {
			*v = append([]byte{}, s.take(h.n)...)
			return nil
		}
	case *[]string:
		if h.kind == packArray {
			return decodePackStrings(&s, h.n, v)
		}
	case *any:
		*v, err = s.any(h)
		return err
	}
	return decodePackValue(argument, v)
}

func (h packHead) int64() (int64, bool) {
	return int64(h.n), h.kind == packInt || h.kind == packUint && h.n <= math.MaxInt64
}

func decodePackStrings(s *packScanner, n uint64, v *[]string) error {
	list := make([]string, 0, n)
	for range n {
		h, err := s.head()
		if err != nil {
			return err
		}
		if h.kind == packNil {
			list = append(list, "") // as in encoding/json
			continue
		}
		if h.kind != packString {
			return s.fail("expected a string")
		}
		list = append(list, toValidUTF8(s.take(h.n)))
	}
	*v = list
	return nil
}

func decodePackJSON(argument []byte, v any) error {
	buf := newBuffer()
	defer buf.free()
	var err error
	if buf.b, err = appendJSONOfPack(buf.b, argument); err != nil {
		return err
	}
	return json.Unmarshal(buf.b, v)
}

func toValidUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// any decodes the value that begins with h as nil, bool, int64, uint64 (if int64 is too small), float64, string, []byte,
// [time.Time], []any or map[string]any.
func (s *packScanner) any(h packHead) (any, error) {
	switch h.kind {
	case packNil:
		return nil, nil
	case packBool:
		return h.n == 1, nil
	case packInt, packUint:
		if n, ok := h.int64(); ok {
			return n, nil
		}
		return h.n, nil
	case packFloat:
		return math.Float64frombits(h.n), nil
	case packString:
		return toValidUTF8(s.take(h.n)), nil
	case packBinary:
		return append([]byte{}, s.take(h.n)...), nil
	case packExt:
		return s.time(h)
	case packArray:
		return s.anyArray(h.n)
	default:
		return s.anyMap(h.n)
	}
}

func (s *packScanner) anyArray(n uint64) (any, error) {
	list := make([]any, 0, n)
	for range n {
		h, err := s.head()
		if err != nil {
			return nil, err
		}
		v, err := s.any(h)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (s *packScanner) anyMap(n uint64) (any, error) {
	m := make(map[string]any, n)
	var key []byte
	for range n {
		var err error
		if key, err = s.appendKey(key[:0]); err != nil {
			return nil, err
		}
		h, err := s.head()
		if err != nil {
			return nil, err
		}
		if m[string(key)], err = s.any(h); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// appendKey reads a key of a map and appends it. A number is converted to a string.
func (s *packScanner) appendKey(dst []byte) ([]byte, error) {
	h, err := s.head()
	if err != nil {
		return dst, err
	}
	switch h.kind {
	case packString:
		return append(dst, toValidUTF8(s.take(h.n))...), nil
	case packInt:
		return strconv.AppendInt(dst, int64(h.n), 10), nil
	case packUint:
		return strconv.AppendUint(dst, h.n, 10), nil
	case packNil, packBool, packFloat, packBinary, packArray, packMap, packExt:
	}
	return dst, s.fail("key is neither a string nor an integer")
}

// time reads the data of a timestamp, the only supported extension type.
func (s *packScanner) time(h packHead) (t time.Time, err error) {
	b := s.take(h.n)
	if h.ext != extTimestamp {
		return t, s.fail("unknown extension")
	}
	var seconds, nanos uint64
	switch len(b) {
	case 4:
		seconds = uint64(binary.BigEndian.Uint32(b))
	case 8:
		both := binary.BigEndian.Uint64(b)
		seconds, nanos = both&(1<<34-1), both>>34
	case 12:
		seconds, nanos = binary.BigEndian.Uint64(b[4:]), uint64(binary.BigEndian.Uint32(b))
	default:
		return t, s.fail("timestamp of unknown width")
	}
	if nanos >= 1e9 {
		return t, s.fail("timestamp with too many nanoseconds")
	}
	return time.Unix(int64(seconds), int64(nanos)).UTC(), nil
}

// appendJSONOfPack appends one value as JSON: binary data in base64, a timestamp as RFC 3339 text.
func appendJSONOfPack(dst, value []byte) ([]byte, error) {
	s := packScanner{b: value}
	return s.appendJSON(dst, 0)
}

func (s *packScanner) appendJSON(dst []byte, depth int) ([]byte, error) {
	h, err := s.head()
	if err != nil {
		return dst, err
	}
	if depth > maxDepth {
		return dst, s.fail("nested too deep")
	}
	switch h.kind {
	case packNil:
		return append(dst, "null"...), nil
	case packBool:
		return strconv.AppendBool(dst, h.n == 1), nil
	case packInt:
		return strconv.AppendInt(dst, int64(h.n), 10), nil
	case packUint:
		return strconv.AppendUint(dst, h.n, 10), nil
	case packFloat:
		return s.appendJSONFloat(dst, math.Float64frombits(h.n))
	case packString:
		return appendJSONString(dst, s.take(h.n)), nil
	case packBinary:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), s.take(h.n))
		return append(dst, '"'), nil
	case packExt:
		return s.appendJSONTime(dst, h)
	case packArray:
		return s.appendJSONArray(dst, h.n, depth)
	default:
		return s.appendJSONMap(dst, h.n, depth)
	}
}

func (s *packScanner) appendJSONFloat(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, s.fail("number is not finite")
	}
	format := byte('f') // as in encoding/json: 1e6 is written as an integer
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64), nil
}

func (s *packScanner) appendJSONTime(dst []byte, h packHead) ([]byte, error) {
	t, err := s.time(h)
	if err != nil {
		return dst, err
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return dst, s.fail("year is out of range")
	}
	return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"'), nil
}

func (s *packScanner) appendJSONArray(dst []byte, n uint64, depth int) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = s.appendJSON(dst, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func (s *packScanner) appendJSONMap(dst []byte, n uint64, depth int) (_ []byte, err error) {
	dst = append(dst, '{')
	var key []byte
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if key, err = s.appendKey(key[:0]); err != nil {
			return dst, err
		}
		dst = append(appendJSONString(dst, key), ':')
		if dst, err = s.appendJSON(dst, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
