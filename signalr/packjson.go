package signalr

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendMessagePack converts one JSON value to MessagePack and appends it to dst: objects become maps with the same keys,
// integers stay integers, other numbers become float64. It takes one pass and does not allocate. With it, an application
// that produces JSON can serve both protocols.
func AppendMessagePack(dst []byte, value json.RawMessage) ([]byte, error) {
	t := jsonToPack{scanner: scanner{b: value}, dst: dst}
	if err := t.value(0); err != nil {
		return dst, err
	}
	if !t.atEnd() {
		return dst, t.fail("text after the value")
	}
	return t.dst, nil
}

type jsonToPack struct {
	scanner
	dst []byte
}

// value converts one value at nesting level depth.
func (t *jsonToPack) value(depth int) error {
	switch c := t.peek(); c {
	case '{':
		return t.elements(depth+1, '{', '}')
	case '[':
		return t.elements(depth+1, '[', ']')
	case '"':
		return t.string()
	default:
		raw, err := t.scanner.value(depth)
		if err == nil {
			t.scalar(c, raw)
		}
		return err
	}
}

func (t *jsonToPack) scalar(c byte, raw []byte) {
	switch c {
	case 'n':
		t.dst = appendPackNil(t.dst)
	case 't', 'f':
		t.dst = appendPackBool(t.dst, c == 't')
	default:
		t.dst = appendPackNumber(t.dst, string(raw))
	}
}

// appendPackNumber converts a JSON number. Numbers out of the range of float64 become infinite.
func appendPackNumber(dst []byte, raw string) []byte {
	if n, err := strconv.ParseUint(raw, 10, 64); err == nil {
		return appendPackUint(dst, n)
	}
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return appendPackInt(dst, n)
	}
	f, _ := strconv.ParseFloat(raw, 64) // a range error returns the infinity that is wanted
	return appendPackFloat(dst, f)
}

// elements converts the elements of an array or an object. Their number is known only at the end and is then inserted in
// front of them.
func (t *jsonToPack) elements(depth int, opening, closing byte) error {
	at, n := len(t.dst), 0
	t.dst = append(t.dst, 0)
	more, err := t.enter(opening, closing, depth)
	for ; more && err == nil; n++ {
		if opening == '{' {
			if err = t.string(); err == nil {
				err = t.expect(':')
			}
		}
		if err == nil {
			err = t.value(depth)
		}
		if err == nil {
			more, err = t.another(closing)
		}
	}
	if opening == '{' {
		t.dst = countPack(t.dst, at, n, 0x80, 0xde)
	} else {
		t.dst = countPack(t.dst, at, n, 0x90, 0xdc)
	}
	return err
}

// countPack writes the number of elements at index at, where one byte is reserved for it.
func countPack(dst []byte, at, n int, fix, wide byte) []byte {
	var head [5]byte
	b := appendPackSize(head[:0], n, fix, 15, 0, wide, wide+1)
	return fitHead(dst, at, 1, b)
}

// fitHead writes head at index at of dst, where room bytes are reserved for it, and moves the bytes that follow.
func fitHead(dst []byte, at, room int, head []byte) []byte {
	if grow := len(head) - room; grow != 0 {
		end := len(dst)
		if grow > 0 {
			dst = append(dst, head[:grow]...) // extends dst; the values are overwritten
		}
		copy(dst[at+len(head):], dst[at+room:end])
		dst = dst[:end+grow]
	}
	copy(dst[at:], head)
	return dst
}

func (t *jsonToPack) string() error {
	raw, err := t.text()
	if err != nil {
		return err
	}
	raw = raw[1 : len(raw)-1]
	at := len(t.dst)
	t.dst = appendPackStringHead(t.dst, len(raw)) // correct if there are no escapes
	if bytes.IndexByte(raw, '\\') < 0 {
		t.dst = append(t.dst, raw...)
		return nil
	}
	room := len(t.dst) - at
	t.dst = appendUnescaped(t.dst, raw)
	var head [5]byte
	t.dst = fitHead(t.dst, at, room, appendPackStringHead(head[:0], len(t.dst)-at-room))
	return nil
}

// appendUnescaped appends the text of a JSON string without its escapes. The scanner has validated it.
func appendUnescaped(dst, raw []byte) []byte {
	from := 0
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			i++
			continue
		}
		dst = append(dst, raw[from:i]...)
		c := raw[i+1]
		i += 2
		if c == 'u' {
			var r rune
			r, i = unescapeRune(raw, i)
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = append(dst, unescapeByte(c))
		}
		from = i
	}
	return append(dst, raw[from:]...)
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

// unescapeRune returns the rune of the four hex digits at i, or of the surrogate pair that begins there, and the index after
// it. An unpaired surrogate becomes U+FFFD.
func unescapeRune(raw []byte, i int) (r rune, next int) {
	r = hexRune(raw[i:])
	i += 4
	if !utf16.IsSurrogate(r) {
		return r, i
	}
	if len(raw)-i >= 6 && raw[i] == '\\' && raw[i+1] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(raw[i+2:])); pair != utf8.RuneError {
			return pair, i + 6
		}
	}
	return utf8.RuneError, i
}

func hexRune(digits []byte) (r rune) {
	for _, c := range digits[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
