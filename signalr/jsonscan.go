package signalr

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects of a message may nest: the default of .NET's reader. It also bounds the
// recursion of the scanner.
const maxDepth = 64

// scanner walks over JSON text and checks it, without building anything. Go's own decoder would copy every argument
// twice on its way to the handler.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) fail(what string) error {
	return dataErrorf("invalid JSON at byte %d: %s", s.i, what)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.fail("expected '" + string(rune(c)) + "'")
	}
	s.i++
	return nil
}

// value passes one value that lies depth levels deep and returns its text.
func (s *scanner) value(depth int) ([]byte, error) {
	c := s.peek()
	from := s.i
	var err error
	switch {
	case c == '{':
		err = s.object(depth+1, nil)
	case c == '[':
		err = s.array(depth+1, nil)
	case c == '"':
		_, err = s.text()
	case c == 't':
		err = s.word("true")
	case c == 'f':
		err = s.word("false")
	case c == 'n':
		err = s.word("null")
	case c == '-' || c >= '0' && c <= '9':
		err = s.number()
	default:
		err = s.fail("expected a value")
	}
	if err != nil {
		return nil, err
	}
	return s.b[from:s.i], nil
}

// object passes an object. When each is set it is called with each key, unescaped, and must pass the value.
func (s *scanner) object(depth int, each func(key []byte) error) error {
	more, err := s.enter('{', '}', depth)
	for more && err == nil {
		if err = s.property(depth, each); err == nil {
			more, err = s.another('}')
		}
	}
	return err
}

func (s *scanner) property(depth int, each func(key []byte) error) error {
	raw, err := s.text()
	if err != nil {
		return err
	}
	if err = s.expect(':'); err != nil {
		return err
	}
	if each == nil {
		_, err = s.value(depth)
		return err
	}
	key, err := unquote(raw)
	if err != nil {
		return err
	}
	return each(key)
}

// array passes an array. When each is set it is called with where each element's text lies.
func (s *scanner) array(depth int, each func(from, to int)) error {
	more, err := s.enter('[', ']', depth)
	for more && err == nil {
		var v []byte
		if v, err = s.value(depth); err != nil {
			break
		}
		if each != nil {
			each(s.i-len(v), s.i)
		}
		more, err = s.another(']')
	}
	return err
}

// enter passes an opening bracket and reports whether there is a first element.
func (s *scanner) enter(opening, closing byte, depth int) (more bool, err error) {
	if depth > maxDepth {
		return false, s.fail("nested too deep")
	}
	if err = s.expect(opening); err != nil {
		return false, err
	}
	if s.peek() == closing {
		s.i++
		return false, nil
	}
	return true, nil
}

// another passes a comma or the closing bracket and reports which it was.
func (s *scanner) another(closing byte) (more bool, err error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case closing:
		s.i++
		return false, nil
	default:
		return false, s.fail("expected ',' or '" + string(rune(closing)) + "'")
	}
}

// text passes a string and returns it with its quotes, escapes checked.
func (s *scanner) text() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("expected a string")
	}
	from := s.i
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[from:s.i], nil
		case c < 0x20:
			return nil, s.fail("control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.fail("string without end")
}

func (s *scanner) escape() error {
	s.i++
	if s.i == len(s.b) {
		return s.fail("string without end")
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.i++
			if s.i == len(s.b) || !isHex(s.b[s.i]) {
				return s.fail("bad escape")
			}
		}
		return nil
	default:
		return s.fail("bad escape")
	}
}

func (s *scanner) word(w string) error {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("expected " + w)
	}
	s.i += len(w)
	return nil
}

func (s *scanner) number() error {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if s.digits() == 0 {
		return s.fail("bad number")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if s.digits() == 0 {
			return s.fail("bad number")
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if s.digits() == 0 {
			return s.fail("bad number")
		}
	}
	return nil
}

func (s *scanner) digits() (n int) {
	for ; s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9'; s.i++ {
		n++
	}
	return n
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// unquote returns the text of a string that the scanner has passed. Without escapes it is a part of the input.
func unquote(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var v string
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, dataErrorf("invalid JSON string")
	}
	return []byte(v), nil
}

func validUTF8(b []byte) error {
	if !utf8.Valid(b) {
		return dataErrorf("message is not valid UTF-8")
	}
	return nil
}

// atEnd passes space and reports whether nothing else is left.
func (s *scanner) atEnd() bool {
	s.space()
	return s.i == len(s.b)
}
