package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
)

var seeds = []string{
	`{"recipientPhoneNumber":"+967771234567","messageContent":"hello","subject":"s","priority":"high","correlationId":"c","metadata":{"a":"b"}}`,
	`{"messageContent":"\ud83d\ude00 \u0000 \ud800 é \"\\\/\b\f\n\r\t","recipientPhoneNumber":"0771234567"}`,
	`{"metadata":{"a":"1","a":"2"}}`, `{"x":[1,-0,0.5e+10,true,false,null,{"y":{}},[[]]],"ttlSeconds":6e1}`, ` {} `, `[1,]`, `{"a":01}`, "\xff", `"\u12"`,
	"{\"messageContent\":\"\xf0\x9f\x98\x80\",\"recipientPhoneNumber\":\"+967771234567\"}",
	strings.Repeat("[", 33) + strings.Repeat("]", 33),
}

// FuzzScanner compares the scanner with encoding/json. Both accept the same texts, except that the scanner also bounds the
// nesting and requires UTF-8.
func FuzzScanner(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var s scanner
		s.reset(body)
		err := s.skipValue()
		if err == nil {
			err = s.end()
		}
		want := json.Valid(body) && utf8.Valid(body)
		if (err == nil) != want && !strings.Contains(errorText(err), "nested") {
			t.Errorf("%q: got %v, want valid %t as in encoding/json", body, err, want)
		}
		if e, ok := errors.AsType[*syntaxError](err); ok && (e.offset < 0 || e.offset > len(body) || e.line < 1 || e.column < 1) {
			t.Errorf("%q: got the position %+v, want one inside the body", body, e)
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzString compares one decoded string with encoding/json.
func FuzzString(f *testing.F) {
	f.Add(`\ud83d\ude00 a é`)
	f.Add(`\ud83d\ud83d\ude00\u0000\ude00`)
	f.Fuzz(func(t *testing.T, inner string) {
		body := []byte(`"` + inner + `"`)
		var s scanner
		s.reset(body)
		got, err := s.string()
		if err != nil || s.end() != nil {
			return // FuzzScanner covers invalid strings
		}
		var want string
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if string(s.bytes(got)) != want || got.runes != utf8.RuneCountInString(want) {
			t.Errorf("%q: got %q of %d characters, want %q", body, s.bytes(got), got.runes, want)
		}
		if strings.Contains(want, "\x00") && !got.invalid {
			t.Errorf("%q contains U+0000: got it valid, want it invalid", body)
		}
	})
}

// FuzzMessage compares decoded messages with encoding/json: an accepted message must have the same meaning in both.
func FuzzMessage(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	phones, err := phonenumber.NewParser("YE")
	if err != nil {
		f.Fatal(err)
	}
	x := &exchange{in: messageInput{phones: phones}} // reused as from the pool
	f.Fuzz(func(t *testing.T, body []byte) {
		var m esh3ar.Message
		if err := x.readMessage(body, &m); err != nil {
			checkProblem(t, body, err)
			return
		}
		var want struct {
			RecipientPhoneNumber, MessageContent, Subject, CorrelationID string
			Priority                                                     *esh3ar.Priority
			Metadata                                                     map[string]string
		}
		in := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, byteOrderMark)))
		in.DisallowUnknownFields()
		if err := in.Decode(&want); err != nil {
			t.Fatalf("%q: got it accepted, but encoding/json fails: %v", body, err)
		}
		if _, err := in.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: got %v after the document, want io.EOF", body, err)
		}
		priority := esh3ar.Normal
		if want.Priority != nil {
			priority = *want.Priority
		}
		recipient, _ := phones.Parse(want.RecipientPhoneNumber)
		if m.Content != want.MessageContent || m.Subject != want.Subject || m.CorrelationID != want.CorrelationID ||
			m.Recipient != recipient || m.Priority != priority || !maps.Equal(m.Metadata, want.Metadata) {
			t.Errorf("%q: got %+v, want %+v", body, m, want)
		}
	})
}

func checkProblem(t *testing.T, body []byte, err error) {
	t.Helper()
	p, ok := errors.AsType[*problem](err)
	if !ok {
		t.Fatalf("%q: got the error %v, want a problem", body, err)
	}
	if valid := json.Valid(bytes.TrimPrefix(body, byteOrderMark)) && utf8.Valid(body); p.Code != invalidJSON.code && !valid {
		t.Errorf("%q is not JSON: got %s, want invalid_json", body, p.Code)
	}
	if p.Status == 422 && len(p.Errors) == 0 {
		t.Errorf("%q: got 422 without faults, want at least one", body)
	}
}

// TestMessageInput_BufferReused_StringsAreCopies decodes a second message with the same buffers and checks the first.
func TestMessageInput_BufferReused_StringsAreCopies(t *testing.T) {
	t.Parallel()
	phones, err := phonenumber.NewParser("YE")
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{in: messageInput{phones: phones}}
	body := []byte(`{"recipientPhoneNumber":"+967771234567","messageContent":"first","metadata":{"name":"value"}}`)
	var first, second esh3ar.Message
	if err := x.readMessage(body, &first); err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = ' '
	}
	if err := x.readMessage([]byte(`{"metadata":{"eman":"eulav"},"messageContent":"other","recipientPhoneNumber":"+967770000000"}`), &second); err != nil {
		t.Fatal(err)
	}
	if first.Content != "first" || first.Metadata["name"] != "value" || second.Content != "other" || len(second.Metadata) != 1 {
		t.Errorf("got %+v and %+v, want both messages unchanged", first, second)
	}
}

// TestScanner_ManyEscapes_AllocatesLittle checks that memory does not grow with the square of the number of escapes.
func TestScanner_ManyEscapes_AllocatesLittle(t *testing.T) { //nolint:paralleltest // it counts allocations
	body := []byte("[" + strings.Repeat(`"\n",`, 200_000) + "0]")
	s := &scanner{text: make([]byte, 0, 1<<10)}
	allocated := testing.AllocsPerRun(1, func() {
		s.reset(body)
		if s.skipValue() != nil {
			t.Error("got an error for a valid body")
		}
	})
	if allocated > 100 {
		t.Errorf("got %.0f allocations, want at most 100", allocated)
	}
}
