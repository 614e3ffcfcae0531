package main

import (
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
