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
	"github.com/esh3artech/esh3ar/internal/auth"
)

var seeds = []string{
	`{"recipientPhoneNumber":"+967771234567","messageContent":"hello","subject":"s","priority":"high","correlationId":"c","metadata":{"a":"b"}}`,
	`{"messageContent":"\ud83d\ude00 \u0000 \ud800 é \"\\\/\b\f\n\r\t","recipientPhoneNumber":"0771234567"}`,
	`{"metadata":{"a":"1","a":"2"}}`, `{"x":[1,-0,0.5e+10,true,false,null,{"y":{}},[[]]],"ttlSeconds":6e1}`, ` {} `, `[1,]`, `{"a":01}`, "\xff", `"\u12"`,
	"{\"messageContent\":\"\xf0\x9f\x98\x80\",\"recipientPhoneNumber\":\"+967771234567\"}",
	strings.Repeat("[", 33) + strings.Repeat("]", 33),
}

// FuzzScanner holds the scanner against encoding/json: they take the same texts, but for what is too deep or not UTF-8.
func FuzzScanner(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var s scanner
		s.reset(body)
		err := s.skip()
		if err == nil {
			err = s.end()
		}
		want := json.Valid(body) && utf8.Valid(body)
		if (err == nil) != want && !strings.Contains(errorText(err), "nested") {
			t.Errorf("%q: %v, encoding/json says %t", body, err, want)
		}
		if e, ok := errors.AsType[*syntaxError](err); ok && (e.offset < 0 || e.offset > len(body) || e.line < 1 || e.column < 1) {
			t.Errorf("%q: %+v", body, e)
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzString holds one string against encoding/json.
func FuzzString(f *testing.F) {
	f.Add(`\ud83d\ude00 a é`)
	f.Add(`\ud83d\ud83d\ude00\u0000\ude00`)
	f.Fuzz(func(t *testing.T, inner string) {
		body := []byte(`"` + inner + `"`)
		var s scanner
		s.reset(body)
		got, err := s.string()
		if err != nil || s.end() != nil {
			return // FuzzScanner looks at these
		}
		var want string
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if string(s.bytes(got)) != want || got.runes != utf8.RuneCountInString(want) {
			t.Errorf("%q: %q of %d characters, want %q", body, s.bytes(got), got.runes, want)
		}
		if strings.Contains(want, "\x00") && !got.bad {
			t.Errorf("%q holds U+0000 unseen", body)
		}
	})
}

// FuzzMessage holds decoded messages against encoding/json: what is accepted means the same to both.
func FuzzMessage(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	phones, err := auth.NewPhones("YE")
	if err != nil {
		f.Fatal(err)
	}
	x := &exchange{in: messageInput{phones: phones}} // used again and again, as in the pool
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
			t.Fatalf("%q was accepted, encoding/json: %v", body, err)
		}
		if _, err := in.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: more behind the document: %v", body, err)
		}
		priority := esh3ar.Normal
		if want.Priority != nil {
			priority = *want.Priority
		}
		recipient, _ := phones.Parse(want.RecipientPhoneNumber)
		if m.Content != want.MessageContent || m.Subject != want.Subject || m.CorrelationID != want.CorrelationID ||
			m.Recipient != recipient || m.Priority != priority || !maps.Equal(m.Metadata, want.Metadata) {
			t.Errorf("%q: %+v, want %+v", body, m, want)
		}
	})
}

func checkProblem(t *testing.T, body []byte, err error) {
	t.Helper()
	p, ok := errors.AsType[*problem](err)
	if !ok {
		t.Fatalf("%q: %v is no problem", body, err)
	}
	if valid := json.Valid(bytes.TrimPrefix(body, byteOrderMark)) && utf8.Valid(body); p.Code != invalidJSON.code && !valid {
		t.Errorf("%q is not JSON, answer %s", body, p.Code)
	}
	if p.Status == 422 && len(p.Errors) == 0 {
		t.Errorf("%q: no fault is named", body)
	}
}

// TestStringsOutliveTheirBuffer: what a message holds is its own, when the buffers serve the next call.
func TestStringsOutliveTheirBuffer(t *testing.T) {
	t.Parallel()
	phones, err := auth.NewPhones("YE")
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
		t.Errorf("first %+v, second %+v", first, second)
	}
}

// TestEscapesCostNoMoreThanTheirBody: a body full of escapes must not take memory by the square of its length.
func TestEscapesCostNoMoreThanTheirBody(t *testing.T) { //nolint:paralleltest // it counts allocations
	body := []byte("[" + strings.Repeat(`"\n",`, 200_000) + "0]")
	s := &scanner{text: make([]byte, 0, 1<<10)}
	allocated := testing.AllocsPerRun(1, func() {
		s.reset(body)
		if s.skip() != nil {
			t.Error("refused")
		}
	})
	if allocated > 100 {
		t.Errorf("%.0f allocations", allocated)
	}
}
