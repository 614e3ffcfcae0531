package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
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

// printableJSON returns a JSON document in which the characters that printable escapes are escaped as JSON does. The document means the
// same. JSON itself requires that only for characters below U+0020.
func printableJSON(document []byte) []byte {
	if isPrintableJSON(document) {
		return document
	}
	escaped := make([]byte, 0, len(document)+64)
	for len(document) > 0 {
		r, n := utf8.DecodeRune(document)
		if r < utf8.RuneSelf && r != '\x7f' || shown(r) && n > 1 {
			escaped = append(escaped, document[:n]...)
		} else { // a byte that is not UTF-8 becomes U+FFFD, as in encoding/json
			for _, unit := range utf16.Encode([]rune{r}) {
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
		}
		document = document[n:]
	}
	return escaped
}

func isPrintableJSON(document []byte) bool {
	for _, b := range document {
		if b >= utf8.RuneSelf || b == '\x7f' {
			return false
		}
	}
	return true
}

// printJSON prints v as one line of printable JSON, or over several lines with the indent.
func printJSON(w io.Writer, v any, indent string) error {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(printableJSON(document.Bytes()))
	return err
}
