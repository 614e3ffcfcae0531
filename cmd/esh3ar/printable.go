package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable returns untrusted text in a form that a terminal shows without interpreting it. Control characters, escape sequences,
// direction marks, other invisible characters, line breaks, tabs and bytes that are not UTF-8 are escaped as in a Go string, so the
// text stays on one line.
func printable(text string) string {
	if isPrintable(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[0])|0x100, 16)[1:])
		case shown(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}

func isPrintable(text string) bool {
	for i, r := range text {
		if !shown(r) || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			return false
		}
	}
	return true
}

// shown reports whether a character is printed unchanged. Joiners are: many languages and emoji need them, and they do not move
// other text.
func shown(r rune) bool {
	return unicode.IsGraphic(r) && r != '\u2028' && r != '\u2029' || r == '\u200c' || r == '\u200d'
}
