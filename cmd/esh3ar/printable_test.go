package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestPrintable_WhatSteersATerminal_IsEscaped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "",
		"plain, مرحبا, 日本, ñ, 👩‍👩‍👧, می\u200cخواهم": "plain, مرحبا, 日本, ñ, 👩‍👩‍👧, می\u200cخواهم",
		"\x1b[2J\x1b]0;owned\x07":        `\x1b[2J\x1b]0;owned\a`,
		"\x1b]52;c;ZXZpbA==\x1b\\":       `\x1b]52;c;ZXZpbA==\x1b\`,
		"a\nb\rc\td\x00\x7f":             `a\nb\rc\td\x00\x7f`,
		"\u009b31m":                      `\u009b31m`,
		"abc\u202ecba\u2066x\u2069":      `abc\u202ecba\u2066x\u2069`,
		"\u200f\u200e\u061c\ufeff\u200b": `\u200f\u200e\u061c\ufeff\u200b`,
		"\u2028\u2029":                   `\u2028\u2029`,
		"\xff\x9b1m":                     `\xff\x9b1m`,
		"\U000e0041":                     `\U000e0041`,
		"\ufffd":                         "\ufffd",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m")
	f.Fuzz(func(t *testing.T, text string) {
		got := printable(text)
		if !utf8.ValidString(got) || !isPrintable(got) {
			t.Errorf("%q: got %q", text, got)
		}
	})
}

func TestPrintableJSON_WhatSteersATerminal_IsEscaped(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"a":"مرحبا 日本 👩‍👩‍👧"}`:        `{"a":"مرحبا 日本 👩‍👩‍👧"}`,
		"{\n\t\"a\": \"\\n\u009b31m\"}": "{\n\t\"a\": \"\\n\\u009b31m\"}",
		"\"abc\u202ecba\x7f\"":          `"abc\u202ecba\u007f"`,
		"\"\U000e0041\"":                `"\udb40\udc41"`,
		"\"\xff\x9b1m\"":                `"\ufffd\ufffd1m"`,
	} {
		if got := string(printableJSON([]byte(document))); got != want {
			t.Errorf("%q: got %q, want %q", document, got, want)
		}
	}
}

func FuzzPrintableJSON(f *testing.F) {
	f.Add("\x1b[31m\u202e\U000e0041\xff")
	f.Fuzz(func(t *testing.T, text string) {
		document, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		escaped := printableJSON(document)
		var got, want string
		if err := json.Unmarshal(escaped, &got); err != nil {
			t.Fatalf("%q: %v", escaped, err)
		}
		if err := json.Unmarshal(document, &want); err != nil {
			t.Fatal(err)
		}
		if got != want || !isPrintable(string(escaped)) {
			t.Errorf("%q: got %q in %q", text, got, escaped)
		}
	})
}
