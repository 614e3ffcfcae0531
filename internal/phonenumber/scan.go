package phonenumber

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDigits is the maximum number of digits in a text. The longest number with the longest international and trunk prefixes
// has fewer.
const maxDigits = 32

// Reasons why a text is not written like a phone number.
var (
	errEmpty     = errors.New("must be a phone number such as +967771234567")
	errLetters   = errors.New("is not a phone number: it holds letters; write digits, such as +967771234567")
	errExtension = errors.New("is not a phone number: extensions and parameters are not taken; write it like +967771234567")
	errPlus      = errors.New("is not a phone number: a + stands once, before the first digit; write it like +967771234567")
	errBrackets  = errors.New("is not a phone number: its brackets are not in pairs around digits; write it like +967771234567")
	errEnd       = errors.New("is not a phone number: it must begin with + or a digit and end with a digit; write it like +967771234567")
)

// scan appends the digits of a phone number to dst, in ASCII, preceded by "+" if the text has one. The grammar of the text
// is
//
//	number    = [ "tel:" ] [ plus ] digit *( digit / separator )
//	plus      = "+" or its fullwidth form
//	digit     = a decimal digit of any script
//	separator = space, dot, hyphen or bracket, in their usual Unicode forms
//
// with balanced brackets, also around the plus. Spaces and invisible characters at both ends are ignored. In a query string,
// a space before the first digit is a plus.
func scan(dst []byte, text string, query bool) ([]byte, error) {
	text, cut := trim(text)
	if scheme := "tel:"; len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
		var more bool
		text, more = trim(text[len(scheme):])
		cut = cut || more
	}
	if text == "" {
		return nil, errEmpty
	}
	s := scanner{dst: dst, plus: query && cut, query: query}
	for _, r := range text {
		if err := s.next(r); err != nil {
			return nil, err
		}
	}
	return s.end()
}

// scanner parses a phone number character by character.
type scanner struct {
	dst     []byte // "+" and digits so far
	plus    bool   // whether a space of a query string precedes the first digit
	query   bool   // whether the text is the value of a query parameter
	digits  int    // digits so far
	bracket rune   // closing bracket that must follow; zero for none
	inside  int    // digits and plus signs since the opening bracket
	last    class  // class of the previous character
}

// class is the class of a character in a phone number.
type class int

const (
	nothing class = iota
	digit
	plusSign
	open
	closed
	blank
	separator // a dot or a hyphen
)

// next parses one character.
func (s *scanner) next(r rune) error {
	if d, ok := digitOf(r); ok {
		return s.digit(d)
	}
	switch {
	case r == '+' || r == '\uff0b':
		if len(s.dst) > 0 {
			return errPlus
		}
		s.dst = append(s.dst, '+')
		s.inside++
		s.last = plusSign
	case closing(r) != 0:
		if s.bracket != 0 {
			return errBrackets
		}
		s.bracket, s.inside = closing(r), 0
		s.last = open
	case r == ')' || r == ']' || r == '\uff09' || r == '\uff3d':
		if r != s.bracket || s.inside == 0 {
			return errBrackets
		}
		s.bracket = 0
		s.last = closed
	case isSpace(r):
		s.plus = s.plus || s.query && r == ' ' && s.digits == 0
		s.last = blank
	case invisible(r):
		// invisible characters between digits are ignored
	case isHyphen(r) || r == '.' || r == '\uff0e':
		if s.digits == 0 {
			return errEnd
		}
		s.last = separator
	default:
		return s.reject(r)
	}
	return nil
}

// digit appends one digit.
func (s *scanner) digit(d byte) error {
	if s.digits == maxDigits {
		return errTooLong
	}
	if s.plus && s.digits == 0 && len(s.dst) == 0 {
		s.dst = append(s.dst, '+')
	}
	s.dst = append(s.dst, '0'+d)
	s.digits++
	s.inside++
	s.last = digit
	return nil
}

// reject returns the error for a character that is not allowed.
func (s *scanner) reject(r rune) error {
	if r == ';' || r == '#' || r == ',' {
		return errExtension
	}
	if unicode.IsLetter(r) {
		return errLetters
	}
	return fmt.Errorf("is not a phone number: it holds %q; write it like +967771234567", r)
}

// end returns the digits, or an error if the text is incomplete.
func (s *scanner) end() ([]byte, error) {
	if s.bracket != 0 {
		return nil, errBrackets
	}
	if s.digits == 0 || s.last != digit && s.last != closed {
		return nil, errEnd
	}
	return s.dst, nil
}

// trim removes the characters that address books, editors and chats leave around a number. space reports whether it removed
// a space from the front.
func trim(text string) (rest string, space bool) {
	rest = strings.TrimLeftFunc(text, trimmable)
	space = strings.Contains(text[:len(text)-len(rest)], " ")
	return strings.TrimRightFunc(rest, trimmable), space
}

// trimmable reports whether r may surround a number: white space, line breaks and invisible characters.
func trimmable(r rune) bool {
	return unicode.IsSpace(r) || isSpace(r) || invisible(r) || directional(r)
}

// directional reports whether r is a mark, embedding, override or isolate of the bidirectional algorithm, a byte order mark,
// a joiner, or another invisible format character. They are rejected between digits, because they change the order in which
// digits are displayed.
func directional(r rune) bool {
	if r >= '\u200b' && r <= '\u200f' || r >= '\u202a' && r <= '\u202e' || r >= '\u2060' && r <= '\u206f' {
		return true
	}
	if r == '\u061c' || r == '\u180e' || r == '\ufeff' {
		return true
	}
	return false
}

// invisible reports whether r is an invisible character that is allowed between digits, as in Google's library: soft hyphen,
// zero-width space, word joiner.
func invisible(r rune) bool { return r == '\u00ad' || r == '\u200b' || r == '\u2060' }

// isSpace reports whether r is a space within a line. Tabs and line breaks separate fields or numbers.
func isSpace(r rune) bool { return unicode.Is(unicode.Zs, r) }

// isHyphen reports whether r is a hyphen, dash or minus sign that is used between groups of digits.
func isHyphen(r rune) bool {
	if r == '-' || r >= '\u2010' && r <= '\u2015' || r == '\u2212' || r == '\u30fc' || r == '\ufe58' || r == '\ufe63' || r == '\uff0d' {
		return true
	}
	return false
}

// closing returns the closing bracket for an opening bracket; zero for other characters.
func closing(r rune) rune {
	switch r {
	case '(':
		return ')'
	case '[':
		return ']'
	case '\uff08':
		return '\uff09'
	case '\uff3b':
		return '\uff3d'
	}
	return 0
}

// digitOf returns the value of a decimal digit of any script. In Unicode the ten digits of a script are consecutive and
// start at zero, and the ranges of the tables contain nothing else.
func digitOf(r rune) (value byte, ok bool) {
	if r < utf8.RuneSelf {
		return byte(r - '0'), r >= '0' && r <= '9'
	}
	for _, row := range unicode.Nd.R16 {
		if r < rune(row.Lo) {
			return 0, false
		}
		if r <= rune(row.Hi) {
			return byte((r - rune(row.Lo)) % 10), true
		}
	}
	for _, row := range unicode.Nd.R32 {
		if r < rune(row.Lo) {
			return 0, false
		}
		if r <= rune(row.Hi) {
			return byte((r - rune(row.Lo)) % 10), true
		}
	}
	return 0, false
}
