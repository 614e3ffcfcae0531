package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

func TestAppendString_AnyString_RoundTrips(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "plain", `quote " and \ slash /`, "line\nfeed\ttab\r\x01\x1e\x7f", "مرحبا 👋🏽 e\u0301", "<&>", "\uFFFD", strings.Repeat("ب", 4096),
	} {
		var back string
		if err := json.Unmarshal(wire.AppendString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q: got %q, %v, want it unchanged", s, back, err)
		}
	}
	if got := string(wire.AppendString(nil, "a\xffb")); got != "\"a\uFFFDb\"" {
		t.Errorf("invalid byte: got %s, want U+FFFD", got)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(wire.AppendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(back, "") {
			t.Fatalf("%q: got %q, %v, want valid JSON", s, back, err)
		}
		if want := toValid(s); back != want {
			t.Errorf("%q: got %q, want %q", s, back, want)
		}
	})
}

// toValid replaces each invalid byte by U+FFFD, like encoding/json.
func toValid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// TestAppendMessage_MatchesContract compares with the form of the outward contract.
func TestAppendMessage_MatchesContract(t *testing.T) {
	t.Parallel()
	m := &esh3ar.Message{
		ID: esh3ar.MessageIDAt(1_700_000_000_123, [10]byte{}), From: "Bank", Recipient: 967771234567, Seq: 7, Priority: esh3ar.Urgent,
		Content: "code 123", CorrelationID: "c-1", Metadata: map[string]string{"b": "2", "a": "1"},
	}
	const want = `{"id":"018bcfe5-687b-7000-8000-000000000000","seq":7,"recipientPhoneNumber":"+967771234567",` +
		`"messageContent":"code 123","subject":"","from":"Bank","priority":"urgent","createdAt":"2023-11-14T22:13:20.123Z",` +
		`"correlationId":"c-1","metadata":{"a":"1","b":"2"},"attempt":2}`
	if got := string(wire.AppendMessage(nil, m, 2)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.CorrelationID = ""
	m.Metadata = nil
	if got := string(wire.AppendMessage(nil, m, 1)); strings.Contains(got, "correlationId") || strings.Contains(got, "metadata") {
		t.Errorf("got %s, want no correlationId and no metadata", got)
	}
}
