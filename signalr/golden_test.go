package signalr

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGolden holds what is on the wire for every type of message, in both protocols, against files: a change of these bytes
// is a change for every client there is. Run with -update after one that is meant.
func TestGolden(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name(), func(t *testing.T) {
			for name, written := range everyType(t, p) {
				t.Run(name, func(t *testing.T) {
					goldenMessage(t, p, name, written)
				})
			}
		})
	}
}

// everyType returns one message of each type that a server writes, by its name. What only clients write reads like it:
// a StreamInvocation like an Invocation, a CancelInvocation like a Completion of nothing.
func everyType(t *testing.T, p protocol) map[string][]byte {
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	value := map[string]any{"text": "<مرحبا>", "number": 1.5, "nothing": nil, "bytes": []byte{1, 2}}
	return map[string][]byte{
		"item80_item92_invocation":                must(p.appendInvocation(nil, "Receive", []any{"a", 1, nil, value})),
		"item129_invocation_with_id":              must(p.appendRequest(nil, "s1", "Ask", []any{true})),
		"item81_item94_stream_item":               must(p.appendStreamItem(nil, "1", value)),
		"item81_item94_stream_item_null":          must(p.appendStreamItem(nil, "1", nil)),
		"item82_item95_completion_void":           must(p.appendCompletion(nil, "1", nil, "", false)),
		"item82_item95_completion_null":           must(p.appendCompletion(nil, "1", null{}, "", false)),
		"item82_item95_completion_result":         must(p.appendCompletion(nil, "1", value, "", false)),
		"item82_item95_completion_error":          must(p.appendCompletion(nil, "1", nil, "it's <bad>", true)),
		"item85_item97_ping":                      p.appendPing(nil),
		"item86_item98_close":                     p.appendClose(nil, "", false),
		"item86_item98_close_error_and_come_back": p.appendClose(nil, "why", true),
		"item87_item99_ack":                       p.appendAck(nil, 1),
		"item87_item99_sequence":                  p.appendSequence(nil, 1<<40),
	}
}

// goldenMessage compares the bytes, in hexadecimal for a binary protocol, and reads them back.
func goldenMessage(t *testing.T, p protocol, name string, written []byte) {
	t.Helper()
	text := string(written)
	if p.binary() {
		text = hex.EncodeToString(written)
	}
	file := filepath.Join("testdata", "messages", p.name(), claims.Replace(name)+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != strings.TrimSuffix(string(want), "\n") {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	record, size, err := p.next(written, 0, -1)
	if err != nil || size != len(written) {
		t.Fatalf("%d of %d bytes are a message, %v", size, len(written), err)
	}
	var m message
	if err := p.parse(record, &m); err != nil {
		t.Errorf("cannot be read: %v", err)
	}
}

// claims takes the items of the checklist out of a file's name.
var claims = strings.NewReplacer(
	"item80_", "", "item81_", "", "item82_", "", "item85_", "", "item86_", "", "item87_", "", "item129_", "",
	"item92_", "", "item94_", "", "item95_", "", "item97_", "", "item98_", "", "item99_", "",
)
