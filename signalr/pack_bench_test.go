package signalr

import (
	"encoding/json"
	"testing"
)

const benchMessage = `{"id":"018bcfe5-687b-7000-8000-000000000000","seq":7,"recipientPhoneNumber":"+967771234567",` +
	`"messageContent":"Your code is 123456.\nDo not tell anybody.","subject":"","from":"Bank","priority":"urgent",` +
	`"createdAt":"2023-11-14T22:13:20.123Z","correlationId":"c-1","metadata":{"a":"1","b":"2"},"attempt":1}`

// BenchmarkInvocation is what it costs to encode one push from JSON that is at hand, in each protocol: JSON copies,
// MessagePack carries over. Value is the same from a struct, by reflection, in MessagePack.
func BenchmarkInvocation(b *testing.B) {
	args := []json.RawMessage{json.RawMessage(benchMessage)}
	var dst []byte
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendInvocation(dst[:0], "ReceiveMessage", args...)
		}
	})
	b.Run("messagepack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, err = AppendMessagePackInvocation(dst[:0], "ReceiveMessage", args...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("value", func(b *testing.B) {
		var v struct {
			ID                   string            `json:"id"`
			Seq                  uint64            `json:"seq"`
			RecipientPhoneNumber string            `json:"recipientPhoneNumber"`
			MessageContent       string            `json:"messageContent"`
			Metadata             map[string]string `json:"metadata,omitempty"`
			Attempt              int               `json:"attempt"`
		}
		if err := json.Unmarshal([]byte(benchMessage), &v); err != nil {
			b.Fatal(err)
		}
		values := []any{&v}
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, err = (packProtocol{}).appendInvocation(dst[:0], "ReceiveMessage", values); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParseMessagePack is BenchmarkParse in the other protocol, with the argument's decoding.
func BenchmarkParseMessagePack(b *testing.B) {
	record, err := packProtocol{}.appendRequest(nil, "42", "AcknowledgeMessage", []any{"0193f0a2-7c1e-7d3a-9f5e-2b1c4d6e8f90"})
	if err != nil {
		b.Fatal(err)
	}
	var m message
	b.ReportAllocs()
	for b.Loop() {
		body, _, err := packProtocol{}.next(record, 0, -1)
		if err == nil {
			err = packProtocol{}.parse(body, &m)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
