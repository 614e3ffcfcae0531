package presence_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

var update = flag.Bool("update", false, "rewrite the golden file; only before the format is released")

func messageID(n byte) esh3ar.MessageID { return esh3ar.MessageIDAt(1_700_000_000_000, [10]byte{9: n}) }

// sample returns hints with every field of every kind.
func sample() []presence.Hint {
	return []presence.Hint{
		{
			Kind: presence.Stored, Hops: 2, Recipient: 967771234567, Seq: 300, ID: messageID(1), Life: 3,
			Message: &esh3ar.Message{
				ID: messageID(1), Business: esh3ar.BusinessID{UUID: messageID(9).UUID}, From: "Saba Bank", Recipient: 967771234567, Seq: 300,
				Priority: esh3ar.Urgent, Subject: "رمز", Content: "Your code is 4711", CorrelationID: "c-1",
				Metadata: map[string]string{"b": "2", "a": "1", "": ""}, SendAt: 1_700_000_001_000, TTL: 90 * time.Second, ExpiresAt: 1_700_000_091_000,
			},
		},
		{Kind: presence.Stored, Recipient: 1, Seq: 1, Message: &esh3ar.Message{}},
		{Kind: presence.Stored, Recipient: 9999999999999999999, Seq: 1<<64 - 1, ID: messageID(2), Life: 1<<32 - 1},
		{Kind: presence.Acknowledged, Recipient: 967771234567, IDs: []esh3ar.MessageID{messageID(3), messageID(4)}},
		{Kind: presence.EndedUnacked, Recipient: 967771234567, ID: messageID(5), Life: 1, Hops: 255},
	}
}

func TestHints_EncodeAndDecode_Match(t *testing.T) {
	t.Parallel()
	for _, hints := range [][]presence.Hint{nil, sample(), sample()[3:4]} {
		got, err := presence.DecodeHints(presence.AppendHints(nil, hints))
		if err != nil || !reflect.DeepEqual(got, hints) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, hints)
		}
	}
	if got := presence.AppendHints([]byte("before"), nil); !bytes.HasPrefix(got, []byte("before")) {
		t.Errorf("got %q, want the existing bytes as prefix", got)
	}
}

// TestHints_Encode_MatchesGoldenFile compares the encoding with bytes that older nodes wrote.
func TestHints_Encode_MatchesGoldenFile(t *testing.T) {
	t.Parallel()
	const file = "testdata/hints.v2.hex"
	if *update {
		if err := os.WriteFile(file, []byte(hex.Dump(presence.AppendHints(nil, sample()))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.Dump(presence.AppendHints(nil, sample())); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// record returns the bytes of a hint with the length prefix of a batch.
func record(bytes ...byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(bytes))), bytes...)
}

// TestDecodeHints_UnknownFieldsAndKinds_Skipped covers new fields at the end of a hint and of a message, and new kinds of hints.
func TestDecodeHints_UnknownFieldsAndKinds_Skipped(t *testing.T) {
	t.Parallel()
	one := []byte{byte(presence.EndedUnacked), 0, 5, 0, 1, 0, 0}
	hint := []byte{byte(presence.Stored), 0, 5, 7, 1, 2, 0}
	message := make([]byte, 16+16+11)                  // empty texts, priority low
	longer := append(bytes.Clone(message), 1, 2, 3, 4) // fields of a later version
	data := []byte{2}
	data = append(data, record(200, 1, 2, 3)...) // a kind of a later version
	data = append(data, record(append(append(hint, record(longer...)...), 9, 9)...)...)
	data = append(data, record(append(one, 42)...)...)
	data = append(data, record(0)...) // an unused kind
	got, err := presence.DecodeHints(data)
	want := []presence.Hint{{Kind: presence.Stored, Recipient: 5, Seq: 7, Life: 1, Message: &esh3ar.Message{}}, {Kind: presence.EndedUnacked, Recipient: 5, Life: 1}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	data[0] = 1
	if _, err := presence.DecodeHints(data); !errors.Is(err, presence.ErrHintVersion) {
		t.Errorf("DecodeHints of another version: got %v, want ErrHintVersion", err)
	}
}

func TestDecodeHints_MalformedBytes_Fails(t *testing.T) {
	t.Parallel()
	whole := presence.AppendHints(nil, sample())
	complete := map[int]bool{1: true} // lengths at which a batch may end
	for i := range sample() {
		complete[len(presence.AppendHints(nil, sample()[:i+1]))] = true
	}
	for n := range whole {
		got, err := presence.DecodeHints(whole[:n])
		if (err == nil) != complete[n] {
			t.Errorf("cut after %d bytes: %d hints, %v", n, len(got), err)
		}
	}
	for name, data := range map[string][]byte{
		"more ids than bytes":  append([]byte{2}, record(byte(presence.Acknowledged), 0, 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)...),
		"a life of 33 bits":    append([]byte{2}, record(byte(presence.EndedUnacked), 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0)...),
		"a length of 65 bits":  {2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a priority too high":  append([]byte{2}, record(append([]byte{byte(presence.Stored), 0, 5, 7, 1, 2, 0}, record(append(make([]byte, 16+16), append([]byte{4}, make([]byte, 10)...)...)...)...)...)...),
		"a message cut short":  append([]byte{2}, record(append([]byte{byte(presence.Stored), 0, 5, 7, 1, 2, 0}, record(1, 2, 3)...)...)...),
		"a hint of no length":  {2, 0},
		"a batch of no length": {},
	} {
		if got, err := presence.DecodeHints(data); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzDecodeHints: no input causes a panic, and hints that were decoded survive another round of encoding and decoding.
func FuzzDecodeHints(f *testing.F) {
	f.Add(presence.AppendHints(nil, sample()))
	f.Add([]byte{2})
	f.Add(append([]byte{2}, record(200, 1, 2, 3)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		hints, err := presence.DecodeHints(data)
		if err != nil {
			return
		}
		again, err := presence.DecodeHints(presence.AppendHints(nil, hints))
		if err != nil || !reflect.DeepEqual(again, hints) {
			t.Errorf("decode(encode(%+v)): got %+v, %v", hints, again, err)
		}
	})
}
