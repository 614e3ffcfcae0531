package httpapi

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Request bodies must be strict JSON (RFC 8259): no duplicate names, valid UTF-8, nothing after the document. A violation
// ends decoding and is one error for the whole body. A wrong value in a valid document is recorded as a fault with its JSON
// pointer, and decoding continues, so that one answer lists every fault.
//
// encoding/json does not fit: it silently replaces unpaired surrogates, matches names case-insensitively, stops at the first
// wrong type, and allocates for every value. This scanner collects all strings in one reusable buffer, and a message copies
// what it needs in one allocation.

// maxDepth bounds the nesting of arrays and objects. Valid requests nest at most 4 levels: the metadata of a batch.
const maxDepth = 32

// syntaxError describes where and why a body is not JSON.
type syntaxError struct {
	what         string
	offset       int // in bytes, from 0
	line, column int // from 1; the column counts bytes
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d (line %d, column %d)", e.what, e.offset, e.line, e.column)
}

// scanner scans one body from start to end.
type scanner struct {
	data  []byte
	at    int    // offset of the next byte
	depth int    // open arrays and objects
	text  []byte // contents of the scanned strings, unescaped and concatenated
}

// text is a scanned string: a range of scanner.text.
type text struct {
	from, to int
	runes    int  // code points
	invalid  bool // contains U+0000 or an unpaired surrogate
}

// reset starts a new body. It skips a leading byte order mark, which editors and shells of Windows write; RFC 8259, section
// 8.1, allows a parser to ignore it.
func (s *scanner) reset(data []byte) {
	s.data = data
	s.at = 0
	s.depth = 0
	s.text = s.text[:0]
	if bytes.HasPrefix(data, byteOrderMark) {
		s.at = len(byteOrderMark)
	}
}

var byteOrderMark = []byte("\ufeff")

// bytes returns the content of t. It is valid until the scanner reads another string.
func (s *scanner) bytes(t text) []byte { return s.text[t.from:t.to] }

// dropLast removes the last scanned string from the buffer.
func (s *scanner) dropLast(t text) { s.text = s.text[:t.from] }

func (s *scanner) fail(what string) error { return s.failAt(s.at, what) }

func (s *scanner) failAt(at int, what string) error {
	if at >= len(s.data) {
		at, what = len(s.data), "unexpected end of the body"
	}
	before := s.data[:at]
	return &syntaxError{what, at, 1 + bytes.Count(before, []byte{'\n'}), at - bytes.LastIndexByte(before, '\n')}
}

// peek skips white space and returns the next byte without consuming it, or 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte, what string) error {
	if s.peek() != c {
		return s.fail(what)
	}
	s.at++
	return nil
}

// end returns an error if anything follows the document.
func (s *scanner) end() error {
	s.peek()
	if s.at < len(s.data) {
		return s.fail("data after the document")
	}
	return nil
}

// open consumes the opening byte of an array or object.
func (s *scanner) open(c byte, what string) error {
	if err := s.expect(c, what); err != nil {
		return err
	}
	s.depth++
	if s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	return nil
}

// object scans an object. It calls member for each member with its name; member must consume the value. The name is valid
// until member reads a string.
func (s *scanner) object(member func(name text) error) error {
	if err := s.open('{', "expected an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		if done, err := s.nextElement(first, '}'); done || err != nil {
			return err
		}
		if s.peek() != '"' {
			return s.fail("expected a name in quotes")
		}
		name, err := s.string()
		if err != nil {
			return err
		}
		if err := s.expect(':', "expected a colon"); err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// array scans an array. It calls element for each element; element must consume it.
func (s *scanner) array(element func(i int) error) error {
	if err := s.open('[', "expected an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if done, err := s.nextElement(i == 0, ']'); done || err != nil {
			return err
		}
		if err := element(i); err != nil {
			return err
		}
	}
}

// nextElement advances to the next member or element. At the end it consumes the closing byte and returns done.
func (s *scanner) nextElement(first bool, end byte) (done bool, err error) {
	switch c := s.peek(); {
	case c == end:
		s.at++
		s.depth--
		return true, nil
	case first:
		return false, nil
	case c == ',':
		s.at++
		if s.peek() == end {
			return false, s.fail("expected a value after the comma")
		}
		return false, nil
	case end == '}':
		return false, s.fail("expected a comma or }")
	default:
		return false, s.fail("expected a comma or ]")
	}
}

// skipValue consumes a value of any type.
func (s *scanner) skipValue() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(name text) error { s.dropLast(name); return s.skipValue() })
	case c == '[':
		return s.array(func(int) error { return s.skipValue() })
	case c == '"':
		t, err := s.string()
		s.dropLast(t)
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	default:
		return s.literal()
	}
}

// literal consumes true, false or null.
func (s *scanner) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.data[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.at += len(word)
			return nil
		}
	}
	return s.fail("expected a value")
}

// number consumes a number and returns its text, which is valid until the next reset.
func (s *scanner) number() ([]byte, error) {
	start := s.at
	s.accept('-')
	if !s.accept('0') && !s.digits() {
		return nil, s.fail("expected a digit")
	}
	if s.accept('.') && !s.digits() {
		return nil, s.fail("expected a digit")
	}
	if s.accept('e') || s.accept('E') {
		if !s.accept('+') {
			s.accept('-')
		}
		if !s.digits() {
			return nil, s.fail("expected a digit")
		}
	}
	return s.data[start:s.at], nil
}

// accept consumes the next byte if it is c, and reports whether it did.
func (s *scanner) accept(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// digits consumes decimal digits and reports whether there was at least one.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}

// string scans a string. The next byte must be its opening quote.
func (s *scanner) string() (text, error) {
	s.at++
	t := text{from: len(s.text)}
	for {
		t.runes += s.scanASCII()
		if s.at == len(s.data) {
			return t, s.fail("unexpected end of the body")
		}
		var err error
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			t.to = len(s.text)
			return t, nil
		case c == '\\':
			err = s.scanEscape(&t)
		case c < ' ':
			err = s.fail("a control character in a string must be escaped")
		default:
			err = s.scanUTF8(&t)
		}
		if err != nil {
			return t, err
		}
	}
}

// scanASCII copies ASCII characters up to the next quote, escape, control character or multi-byte character, and returns
// their number.
func (s *scanner) scanASCII() int {
	rest := s.data[s.at:]
	n := 0
	for n < len(rest) {
		if c := rest[n]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
		n++
	}
	s.text = append(s.text, rest[:n]...)
	s.at += n
	return n
}

// scanUTF8 copies consecutive multi-byte characters.
func (s *scanner) scanUTF8(t *text) error {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(s.data[s.at:])
		if r == utf8.RuneError && size == 1 {
			return s.fail("invalid UTF-8")
		}
		s.at += size
		t.runes++
	}
	s.text = append(s.text, s.data[start:s.at]...)
	return nil
}

// simpleEscapes maps the letter of a two-character escape to its character.
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// scanEscape scans one escaped character.
func (s *scanner) scanEscape(t *text) error {
	t.runes++
	if s.at+1 < len(s.data) {
		char := simpleEscapes[s.data[s.at+1]]
		if char != 0 {
			s.text = append(s.text, char)
			s.at += 2
			return nil
		}
	}
	char, err := s.scanUnicodeEscape()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(char) {
		char = s.scanLowSurrogate(char)
	}
	t.invalid = t.invalid || char <= 0
	s.text = utf8.AppendRune(s.text, char) // an unpaired surrogate, -1, becomes U+FFFD
	return nil
}

// scanLowSurrogate scans the second half of a surrogate pair and returns the character, or -1 if no low surrogate follows.
func (s *scanner) scanLowSurrogate(high rune) rune {
	mark := s.at
	if low, err := s.scanUnicodeEscape(); err == nil {
		if char := utf16.DecodeRune(high, low); char != utf8.RuneError {
			return char
		}
	}
	s.at = mark
	return -1
}

// scanUnicodeEscape scans \uXXXX.
func (s *scanner) scanUnicodeEscape() (rune, error) {
	if s.at+6 > len(s.data) || s.data[s.at] != '\\' || s.data[s.at+1] != 'u' {
		return 0, s.fail("invalid escape")
	}
	code, err := strconv.ParseUint(string(s.data[s.at+2:s.at+6]), 16, 16)
	if err != nil {
		return 0, s.fail("invalid escape")
	}
	s.at += 6
	return rune(code), nil
}
