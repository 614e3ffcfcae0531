package codec_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

func sampleMessages() []esh3ar.Message {
	return []esh3ar.Message{
		{},
		{
			ID: esh3ar.NewMessageID(), Business: esh3ar.NewBusinessID(), From: "Saba Bank", Recipient: 967771234567, Seq: 300, Priority: esh3ar.Urgent,
			Subject: "رمز", Content: "Your code is 4711", CorrelationID: "c-1", Metadata: map[string]string{"b": "2", "a": "1", "": ""},
			SendAt: 1_700_000_001_000, TTL: 90 * time.Second, ExpiresAt: 1_700_000_091_000,
		},
		{Recipient: 9999999999999999999, Seq: 1<<64 - 1, SendAt: -1 << 63, ExpiresAt: 1<<63 - 1, TTL: (1<<63 - 1) / 1_000_000 * time.Millisecond},
	}
}

func TestMessage_AllFields_AreReadAsWritten(t *testing.T) {
	t.Parallel()
	for _, want := range sampleMessages() {
		row := codec.AppendMessage([]byte("before"), &want)
		row = append(row, "fields of a later version"...)
		r := codec.NewReader(row[len("before"):])
		got := r.Message()
		if !reflect.DeepEqual(got, want) || r.Err() != nil || string(r.Rest()) != "fields of a later version" {
			t.Errorf("got %+v, rest %q, error %v; want %+v", got, r.Rest(), r.Err(), want)
		}
	}
}

func TestMessage_Damaged_Fails(t *testing.T) {
	t.Parallel()
	for _, m := range sampleMessages() {
		row := codec.AppendMessage(nil, &m)
		for n := range row {
			r := codec.NewReader(row[:n])
			if r.Message(); !errors.Is(r.Err(), codec.ErrDamaged) {
				t.Errorf("first %d of %d bytes: got %v, want ErrDamaged", n, len(row), r.Err())
			}
		}
		row[32] = byte(esh3ar.Priorities) // the priority
		r := codec.NewReader(row)
		if r.Message(); !errors.Is(r.Err(), codec.ErrDamaged) {
			t.Errorf("unknown priority: got %v, want ErrDamaged", r.Err())
		}
	}
}

func TestAppendMessage_SameMetadata_GivesSameBytes(t *testing.T) {
	t.Parallel()
	m := sampleMessages()[1]
	want := codec.AppendMessage(nil, &m)
	for range 100 {
		if got := codec.AppendMessage(nil, &m); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	}
}

// FuzzMessage reads arbitrary bytes: what can be read is the same after another round of writing and reading.
func FuzzMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(codec.AppendMessage(nil, &m))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		r := codec.NewReader(row)
		m := r.Message()
		if r.Err() != nil {
			return
		}
		again := codec.NewReader(codec.AppendMessage(nil, &m))
		if got := again.Message(); again.Err() != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v; want %+v", got, again.Err(), m)
		}
	})
}
