package hub

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/signalr"
)

func message(seq esh3ar.Seq, content string) delivery.Push {
	return delivery.Push{Attempt: 2, Message: &esh3ar.Message{
		ID: esh3ar.MessageIDAt(1_700_000_000_123, [10]byte{}), From: "Bank \"&\" Söhne", Recipient: 967771234567, Seq: seq,
		Priority: esh3ar.Urgent, Content: content, CorrelationID: "c-1", Metadata: map[string]string{"b": "2\n", "a": "مرحبا"},
	}}
}

// call is one decoded invocation.
type call struct {
	target string
	args   []any
}

// read decodes encoded invocations.
func (w *invocations) read(t *testing.T) []call {
	var calls []call
	t.Helper()
	if w.err != nil {
		t.Fatal(w.err)
	}
	if !w.pack {
		for record := range bytes.SplitSeq(bytes.TrimSuffix(w.out, []byte{0x1e}), []byte{0x1e}) {
			var m struct {
				Target    string
				Arguments []any
			}
			if err := json.Unmarshal(record, &m); err != nil {
				t.Fatal(err)
			}
			calls = append(calls, call{m.Target, m.Arguments})
		}
		return calls
	}
	for rest := w.out; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		var m []any
		// By way of JSON, so that numbers are of the same type; that integers are integers is looked at below.
		var text json.RawMessage
		if err := (signalr.Raw{Protocol: "messagepack", Data: rest[n : n+int(size)]}).Decode(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, call{m[3].(string), m[4].([]any)})
		rest = rest[n+int(size):]
	}
	return calls
}

// TestInvocations_BothProtocols_EncodeTheSame compares decoded invocations of JSON and MessagePack.
func TestInvocations_BothProtocols_EncodeTheSame(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ب", 4096)
	var many []delivery.Push
	for i := range 20 {
		many = append(many, message(esh3ar.Seq(i+1), long))
	}
	id := esh3ar.NewMessageID()
	events := []esh3ar.LogEntry{
		{Event: esh3ar.Event{ID: esh3ar.EventIDOf(id, 1, 5), Message: id, Version: 1, Life: 1, Status: esh3ar.Scheduled, At: 5, Recipient: 967771234567}},
		{Event: esh3ar.Event{ID: esh3ar.EventIDOf(id, 7, 9), Message: id, Version: 7, Life: 2, Status: esh3ar.Failed, At: 9, Recipient: 1, Reason: esh3ar.ReasonAttemptsSpent}},
	}
	for name, tc := range map[string]struct {
		write func(w *invocations)
		calls []int // arguments' elements of each call, 0 for an object
		name  string
	}{
		"live":    {func(w *invocations) { w.live([]delivery.Push{message(7, "code\n"), message(1<<40, "")}) }, []int{0, 0}, "ReceiveMessage"},
		"backlog": {func(w *invocations) { w.backlog([]delivery.Push{message(7, "a"), message(8, "b")}) }, []int{2}, "ReceivePendingMessages"},
		"bounded": {func(w *invocations) { w.backlog(many) }, []int{7, 7, 6}, "ReceivePendingMessages"},
		"events":  {func(w *invocations) { w.statusChanges(events) }, []int{0, 0}, "MessageStatusChanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, pack := newInvocations("json"), newInvocations("messagepack")
			tc.write(text)
			tc.write(pack)
			want, got := text.read(t), pack.read(t)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %.500v\nwant %.500v", got, want)
			}
			if len(want) != len(tc.calls) {
				t.Fatalf("%d calls, want %d", len(want), len(tc.calls))
			}
			for i, n := range tc.calls {
				list, _ := want[i].args[0].([]any)
				if want[i].target != tc.name || len(want[i].args) != 1 || len(list) != n {
					t.Errorf("call %d is %s with %d elements", i, want[i].target, len(list))
				}
			}
		})
	}
}

func TestInvocations_MessagePack_EncodesIntegers(t *testing.T) {
	t.Parallel()
	w := newInvocations("messagepack")
	w.live([]delivery.Push{message(1<<40, "x")})
	if want := append([]byte("\xa3seq\xcf"), 0, 0, 1, 0, 0, 0, 0, 0); !bytes.Contains(w.out, want) {
		t.Errorf("%x is not in %x", want, w.out)
	}
}

// BenchmarkPush measures the encoding of one live message in each protocol.
func BenchmarkPush(b *testing.B) {
	pushes := []delivery.Push{message(7, "Your code is 123456. Do not tell anybody.")}
	pushes[0].Message.Metadata = nil // names are sorted, which costs a slice
	for _, protocol := range []string{"json", "messagepack"} {
		b.Run(protocol, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := newInvocations(protocol)
				w.live(pushes)
				w.free()
			}
		})
	}
}
