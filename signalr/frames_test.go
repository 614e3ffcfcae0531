package signalr

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// collector keeps what frames carry.
type collector struct {
	bytes    []byte
	controls []string
}

func (c *collector) data(b []byte) { c.bytes = append(c.bytes, b...) }

func (c *collector) control(opcode byte, payload []byte) {
	c.controls = append(c.controls, fmt.Sprintf("%x:%x", opcode, payload))
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// brokenFrames are violations of RFC 6455 and the codes that answer them.
func brokenFrames() map[string]struct {
	frame []byte
	code  int
} {
	type broken = struct {
		frame []byte
		code  int
	}
	closing := func(code int, reason string) []byte {
		return maskedFrame(finBit|opClose, append([]byte{byte(code >> 8), byte(code)}, reason...))
	}
	all := map[string]broken{
		"not masked":             {[]byte{finBit | opText, 5}, 1002},
		"reserved bit 1":         {maskedFrame(finBit|0x40|opText, []byte("x")), 1002}, // compressed, as nobody agreed to
		"reserved bit 2":         {maskedFrame(finBit|0x20|opBinary, nil), 1002},
		"reserved bit 3":         {maskedFrame(finBit|0x10|opPing, nil), 1002},
		"unknown opcode":         {maskedFrame(finBit|0x3, nil), 1002},
		"unknown control opcode": {maskedFrame(finBit|0xf, nil), 1002},
		"fragmented ping":        {maskedFrame(opPing, nil), 1002},
		"fragmented close":       {maskedFrame(opClose, nil), 1002},
		"long ping":              {maskedFrame(finBit|opPing, make([]byte, 126)), 1002},
		"long close":             {maskedFrame(finBit|opClose, make([]byte, 70000)), 1002},
		"stray continuation":     {maskedFrame(finBit|opContinuation, nil), 1002},
		"message inside another": {concat(maskedFrame(opText, nil), maskedFrame(finBit|opText, nil)), 1002},
		"length of 2^63":         {[]byte{finBit | opText, maskBit | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1002},
		"length of 2^64-1":       {[]byte{finBit | opText, maskBit | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, 1002},
		"half a close code":      {maskedFrame(finBit|opClose, []byte{3}), 1002},
		"close reason no UTF-8":  {closing(1000, "\xff"), 1007},
		"close reason cut":       {closing(1000, "\xe2\x82"), 1007},
		"text no UTF-8":          {maskedFrame(finBit|opText, []byte("a\xff")), 1007},
		"text cut":               {maskedFrame(finBit|opText, []byte("a\xe2\x82")), 1007},
		"text cut, in fragments": {concat(maskedFrame(opText, []byte("\xe2")), maskedFrame(finBit|opContinuation, []byte("\x82"))), 1007},
		"text of a surrogate":    {concat(maskedFrame(opText, []byte("\xed")), maskedFrame(opContinuation, []byte("\xa0"))), 1007},
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535} {
		all[fmt.Sprintf("close code %d", code)] = broken{closing(code, ""), 1002}
	}
	return all
}

func TestFrameReader_AfterError_StaysFailed(t *testing.T) {
	after := concat(maskedFrame(finBit|opText, []byte("more")), maskedFrame(finBit|opPing, nil), bytes.Repeat([]byte{0xff}, 1000), make([]byte, 1000))
	for name, tc := range brokenFrames() {
		var c collector
		var r frameReader
		err := r.consume(bytes.Clone(tc.frame), &c)
		violation, ok := err.(*webSocketError) //nolint:errorlint // that is what is tested
		if !ok || violation.code != tc.code {
			t.Errorf("%s: got %v, want an error of code %d", name, err, tc.code)
			continue
		}
		handled := len(c.bytes) + len(c.controls)
		for _, piece := range []int{1, 7, len(after)} {
			for rest := bytes.Clone(after); len(rest) > 0; {
				n := min(piece, len(rest))
				if again := r.consume(rest[:n], &c); again != err { //nolint:errorlint // the very same
					t.Fatalf("%s: got %v behind %v", name, again, err)
				}
				rest = rest[n:]
			}
		}
		if n := len(c.bytes) + len(c.controls); n != handled {
			t.Errorf("%s: %d bytes and frames were handled behind the error", name, n-handled)
		}
	}
}

func TestFrameReader_CloseFrames_Allowed(t *testing.T) {
	for _, payload := range []string{
		"", "\x03\xe8", "\x03\xe9", "\x03\xea", "\x03\xeb", "\x03\xef", "\x03\xf3", "\x03\xf6", "\x0b\xb8", "\x13\x87",
		"\x03\xe8bye", "\x03\xe8" + strings.Repeat("x", 123), "\x03\xe8مع السلامة",
	} {
		for cut := range len(payload) + 1 {
			frame := maskedFrame(finBit|opClose, []byte(payload))
			var c collector
			var r frameReader
			at := len(frame) - len(payload) + cut
			err, err2 := r.consume(frame[:at], &c), r.consume(frame[at:], &c)
			if want := fmt.Sprintf("8:%x", payload); err != nil || err2 != nil || len(c.controls) != 1 || c.controls[0] != want {
				t.Errorf("%q cut at %d: got %v %v %v, want %s", payload, cut, c.controls, err, err2, want)
			}
		}
	}
}

// FuzzTextChecker compares the check of pieces with that of the whole.
func FuzzTextChecker(f *testing.F) {
	for _, seed := range []string{"", "abc", "مرحبا", "\U0001f600", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\x80", "a\x80", "\xf4\x90\x80\x80"} {
		f.Add([]byte(seed), 1, 2)
	}
	f.Fuzz(func(t *testing.T, text []byte, size, size2 int) {
		var c textChecker
		for range 2 { // a checker is used for one text after another
			got := true
			for i, rest := 0, text; got; i++ {
				n := min(max(1, []int{size, size2}[i%2]), len(rest))
				got = c.add(rest[:n], n == len(rest))
				if rest = rest[n:]; len(rest) == 0 {
					break
				}
			}
			if want := utf8.Valid(text); got != want {
				t.Fatalf("got %v for %q in pieces of %d and %d, want %v", got, text, size, size2, want)
			}
			if !got {
				return
			}
		}
	})
}

func FuzzFrameReader(f *testing.F) {
	f.Add(append(maskedFrame(finBit|opText, []byte("hello, world, this is long")), maskedFrame(finBit|opPing, []byte("x"))...), 5)
	f.Add(append(maskedFrame(opBinary, bytes.Repeat([]byte("x"), 300)), maskedFrame(finBit|opContinuation, nil)...), 200)
	f.Add([]byte{finBit | opClose, maskBit, 1, 2, 3, 4}, 1)
	for _, broken := range brokenFrames() {
		f.Add(append(broken.frame, make([]byte, 100)...), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, parts collector
		var r, s frameReader
		err := r.consume(bytes.Clone(in), &whole)
		if cut < 1 {
			cut = 1
		}
		var err2 error
		for rest := bytes.Clone(in); len(rest) > 0; {
			n := min(cut, len(rest))
			before := len(parts.bytes) + len(parts.controls)
			next := s.consume(rest[:n], &parts)
			if err2 != nil && (next != err2 || before != len(parts.bytes)+len(parts.controls)) { //nolint:errorlint // the very same
				t.Fatalf("got %v behind %v", next, err2)
			}
			err2 = next
			rest = rest[n:]
		}
		// Of text that is not valid, the pieces before the fault may have been passed on.
		same := bytes.Equal(whole.bytes, parts.bytes) || err != nil && bytes.HasPrefix(parts.bytes, whole.bytes)
		if (err == nil) != (err2 == nil) || !same || !reflect.DeepEqual(whole.controls, parts.controls) {
			t.Errorf("whole: %q %v %v\nparts: %q %v %v", whole.bytes, whole.controls, err, parts.bytes, parts.controls, err2)
		}
		if len(s.control) > controlLimit {
			t.Errorf("gathers %d bytes", len(s.control))
		}
	})
}
