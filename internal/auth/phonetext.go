package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDigits is the largest number of digits that a text may have: the longest number with the longest international and
// trunk prefixes in front has fewer.
const maxDigits = 32

// The reasons why a text is not written as a phone number.
var (
	errEmpty     = errors.New("must be a phone number such as +967771234567")
	errLetters   = errors.New("is not a phone number: it holds letters; write digits, such as +967771234567")
	errExtension = errors.New("is not a phone number: extensions and parameters are not taken; write it like +967771234567")
	errPlus      = errors.New("is not a phone number: a + stands once, before the first digit; write it like +967771234567")
	errBrackets  = errors.New("is not a phone number: its brackets are not in pairs around digits; write it like +967771234567")
	errEnd       = errors.New("is not a phone number: it must begin with + or a digit and end with a digit; write it like +967771234567")
)

// spell appends the digits of a phone number to dst, in ASCII and with a "+" in front where the text has one. The text is
//
//	number    = [ "tel:" ] [ plus ] digit *( digit / separator )
//	plus      = "+" or its fullwidth form
//	digit     = a decimal digit of any script
//	separator = space, dot, hyphen or bracket, in their usual Unicode forms
//
// with brackets in pairs, also around the plus. Spaces and invisible characters around it are cut off. In a query string a
// space before the first digit is a plus.
func spell(dst []byte, text string, query bool) ([]byte, error) {
	text, cut := trim(text)
	if scheme := "tel:"; len(text) >= len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
		var more bool
		text, more = trim(text[len(scheme):])
		cut = cut || more
	}
	if text == "" {
		return nil, errEmpty
	}
	s := speller{dst: dst, plus: query && cut, query: query}
	for _, r := range text {
		if err := s.next(r); err != nil {
			return nil, err
		}
	}
	return s.end()
}

// speller reads a phone number character by character.
type speller struct {
	dst     []byte // "+" and digits so far
	plus    bool   // a space of a query string stood before the first digit
	query   bool   // the text is the value of a query parameter
	digits  int    // digits so far
	bracket rune   // the closing bracket that is due; zero: none
	inside  int    // digits and plus signs since the opening bracket
	last    class  // of the character before
}

// class is what a character of a phone number is.
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

// next reads one character.
func (s *speller) next(r rune) error {
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
	case hidden(r):
	case isHyphen(r) || r == '.' || r == '\uff0e':
		if s.digits == 0 {
			return errEnd
		}
		s.last = separator
	default:
		return s.refuse(r)
	}
	return nil
}

func (s *speller) digit(d byte) error {
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

// refuse says why the character has no place in a phone number.
func (s *speller) refuse(r rune) error {
	switch {
	case r == ';' || r == '#' || r == ',':
		return errExtension
	case unicode.IsLetter(r):
		return errLetters
	}
	return fmt.Errorf("is not a phone number: it holds %q; write it like +967771234567", r)
}

// end returns what was read, if the text is complete.
func (s *speller) end() ([]byte, error) {
	switch {
	case s.bracket != 0:
		return nil, errBrackets
	case s.digits == 0, s.last != digit && s.last != closed:
		return nil, errEnd
	}
	return s.dst, nil
}

// trim cuts off what address books, editors and chats leave around a number. space reports whether a space was cut off the
// front.
func trim(text string) (rest string, space bool) {
	rest = strings.TrimLeftFunc(text, around)
	space = strings.Contains(text[:len(text)-len(rest)], " ")
	return strings.TrimRightFunc(rest, around), space
}

// around reports whether a character may stand around a number: white space, line ends, and characters that are not seen.
func around(r rune) bool {
	return unicode.IsSpace(r) || isSpace(r) || hidden(r) || directional(r)
}

// directional reports whether r is a mark, an embedding, an override or an isolate of the bidirectional algorithm, a byte
// order mark, a joiner, or one of the other invisible format characters. Between digits they are refused: they change
// the order in which a number is seen.
func directional(r rune) bool {
	switch {
	case r >= '\u200b' && r <= '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u206f':
		return true
	case r == '\u061c', r == '\u180e', r == '\ufeff':
		return true
	}
	return false
}

// hidden reports whether r is an invisible character that may stand between digits too, as Google's library has it: the
// soft hyphen, the zero-width space and the word joiner.
func hidden(r rune) bool { return r == '\u00ad' || r == '\u200b' || r == '\u2060' }

// isSpace reports whether r is a space within a line; tabs and line ends part two fields or two numbers.
func isSpace(r rune) bool { return unicode.Is(unicode.Zs, r) }

// isHyphen reports whether r is a hyphen, a dash or a minus sign that is used between groups of digits.
func isHyphen(r rune) bool {
	switch {
	case r == '-', r >= '\u2010' && r <= '\u2015', r == '\u2212', r == '\u30fc', r == '\ufe58', r == '\ufe63', r == '\uff0d':
		return true
	}
	return false
}

// closing returns the bracket that closes an opening one; zero: r opens none.
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

// digitOf returns the value of a decimal digit of any script. Unicode has the ten digits of a script in a row, zero
// first, and its tables have nothing else between them.
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
