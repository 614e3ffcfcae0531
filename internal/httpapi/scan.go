package httpapi

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The reader of request bodies takes RFC 8259 and nothing else: no duplicate names, no bytes that are not UTF-8, nothing
// behind the document. Such a body is answered as a whole. What is wrong with a value inside a sound document is noted with
// its JSON pointer, and the reading goes on, so that one answer names every fault.
//
// encoding/json would replace unpaired surrogates unseen, match names without regard to case, and stop at the first wrong
// type. It also allocates for every value; here strings gather in one buffer that is used again, and a message takes
// what it needs in one copy.

// maxDepth bounds nesting; nothing in the API nests deeper than a batch's metadata.
const maxDepth = 32

// syntaxError is where a body stops being JSON.
type syntaxError struct {
	what         string
	offset       int // bytes before it
	line, column int // from 1; the column counts bytes
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d (line %d, column %d)", e.what, e.offset, e.line, e.column)
}

// scanner walks over one body.
type scanner struct {
	data  []byte
	at    int
	depth int
	text  []byte // what the strings hold, without escapes, one behind the other
}

// text is a string of the body, as a part of scanner.text.
type text struct {
	from, to int
	runes    int  // code points
	bad      bool // holds U+0000 or an unpaired surrogate
}

// reset begins a body. A byte order mark in front is passed over: editors and shells of Windows write one, and RFC 8259,
// section 8.1, lets a reader ignore it.
func (s *scanner) reset(data []byte) {
	s.data, s.at, s.depth, s.text = data, 0, 0, s.text[:0]
	if bytes.HasPrefix(data, byteOrderMark) {
		s.at = len(byteOrderMark)
	}
}

var byteOrderMark = []byte("\ufeff")

// bytes is what t holds; good until the scanner goes on.
func (s *scanner) bytes(t text) []byte { return s.text[t.from:t.to] }

// forget drops the newest string.
func (s *scanner) forget(t text) { s.text = s.text[:t.from] }

func (s *scanner) fail(what string) error { return s.failAt(s.at, what) }

func (s *scanner) failAt(at int, what string) error {
	if at >= len(s.data) {
		at, what = len(s.data), "unexpected end of the body"
	}
	before := s.data[:at]
	return &syntaxError{what, at, 1 + bytes.Count(before, []byte{'\n'}), at - bytes.LastIndexByte(before, '\n')}
}

// peek skips space and gives the next byte; zero at the end.
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

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.data) {
		return s.fail("data behind the document")
	}
	return nil
}

func (s *scanner) enter(c byte, what string) error {
	if err := s.expect(c, what); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	return nil
}

// object calls member for each, with the scanner in front of its value. The name is good until member reads a string.
func (s *scanner) object(member func(name text) error) error {
	if err := s.enter('{', "expected an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		if done, err := s.more(first, '}'); done || err != nil {
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

// array calls element for each, with the scanner in front of it.
func (s *scanner) array(element func(i int) error) error {
	if err := s.enter('[', "expected an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if done, err := s.more(i == 0, ']'); done || err != nil {
			return err
		}
		if err := element(i); err != nil {
			return err
		}
	}
}

// more steps to the next member or element, or out of the object or array.
func (s *scanner) more(first bool, end byte) (done bool, err error) {
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
			return false, s.fail("a comma with nothing behind it")
		}
		return false, nil
	case end == '}':
		return false, s.fail("expected a comma or }")
	default:
		return false, s.fail("expected a comma or ]")
	}
}

// skip passes a value of any type.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(name text) error { s.forget(name); return s.skip() })
	case c == '[':
		return s.array(func(int) error { return s.skip() })
	case c == '"':
		t, err := s.string()
		s.forget(t)
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	default:
		return s.literal()
	}
}

func (s *scanner) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.data[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.at += len(word)
			return nil
		}
	}
	return s.fail("expected a value")
}

// number passes a number and gives its digits, good until the next body.
func (s *scanner) number() ([]byte, error) {
	start := s.at
	s.has('-')
	if !s.has('0') && !s.digits() {
		return nil, s.fail("expected a digit")
	}
	if s.has('.') && !s.digits() {
		return nil, s.fail("expected a digit")
	}
	if s.has('e') || s.has('E') {
		if !s.has('+') {
			s.has('-')
		}
		if !s.digits() {
			return nil, s.fail("expected a digit")
		}
	}
	return s.data[start:s.at], nil
}

func (s *scanner) has(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > start
}

// string reads a string; the scanner stands at its quote.
func (s *scanner) string() (text, error) {
	s.at++
	t := text{from: len(s.text)}
	for {
		t.runes += s.plain()
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
			err = s.escape(&t)
		case c < ' ':
			err = s.fail("a control character in a string must be escaped")
		default:
			err = s.wide(&t)
		}
		if err != nil {
			return t, err
		}
	}
}

// plain takes the characters up to the next that needs a look, and counts them.
func (s *scanner) plain() int {
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

// wide takes characters of several bytes.
func (s *scanner) wide(t *text) error {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(s.data[s.at:])
		if r == utf8.RuneError && size == 1 {
			return s.fail("bytes that are not UTF-8")
		}
		s.at += size
		t.runes++
	}
	s.text = append(s.text, s.data[start:s.at]...)
	return nil
}

// simpleEscapes are those of one letter.
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape takes one character that is written as an escape.
func (s *scanner) escape(t *text) error {
	t.runes++
	if s.at+1 < len(s.data) {
		if char := simpleEscapes[s.data[s.at+1]]; char != 0 {
			s.text = append(s.text, char)
			s.at += 2
			return nil
		}
	}
	char, err := s.unicode()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(char) {
		char = s.pair(char)
	}
	t.bad = t.bad || char <= 0
	s.text = utf8.AppendRune(s.text, char) // -1 becomes U+FFFD
	return nil
}

// pair takes the second half of a surrogate pair; -1 if it is not there.
func (s *scanner) pair(high rune) rune {
	mark := s.at
	if low, err := s.unicode(); err == nil {
		if char := utf16.DecodeRune(high, low); char != utf8.RuneError {
			return char
		}
	}
	s.at = mark
	return -1
}

// unicode reads \uXXXX.
func (s *scanner) unicode() (rune, error) {
	if s.at+6 > len(s.data) || s.data[s.at] != '\\' || s.data[s.at+1] != 'u' {
		return 0, s.fail("an escape that JSON does not have")
	}
	code, err := strconv.ParseUint(string(s.data[s.at+2:s.at+6]), 16, 16)
	if err != nil {
		return 0, s.fail("an escape that JSON does not have")
	}
	s.at += 6
	return rune(code), nil
}
