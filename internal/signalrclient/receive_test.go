package signalrclient

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const (
	one  = `{"id":"01a20a0a-a74c-7bc3-85d5-9ce83867a87e","seq":7,"recipientPhoneNumber":"+967771234567","messageContent":"12 xx","subject":"","from":"Bank","priority":"urgent","createdAt":"2026-11-23T20:13:20.076Z","attempt":2}`
	live = `{"type":1,"target":"ReceiveMessage","arguments":[` + one + `]}`
)

func TestNext_ScannedAndDecoded_Agree(t *testing.T) {
	t.Parallel()
	backlog := `{"type":1,"target":"ReceivePendingMessages","arguments":[[` + one + "," + strings.Replace(one, `"seq":7`, `"seq":8`, 1) + `]]}`
	for record, count := range map[string]int{live: 1, backlog: 2} {
		for _, full := range []bool{false, true} {
			event, ok, err := decode([]byte(record), full)
			if err != nil || !ok || len(event.Messages) != count || event.Live != (count == 1) {
				t.Fatalf("full %t: %+v, %v", full, event, err)
			}
			m := event.Messages[count-1]
			if m.ID != "01a20a0a-a74c-7bc3-85d5-9ce83867a87e" || m.Seq != uint64(6+count) || m.Priority != "urgent" || m.Attempt != 2 || m.Content != "12 xx" {
				t.Errorf("full %t: %+v", full, m)
			}
		}
	}
}

func TestNext_CompletionsAndClose_AreReturned(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]Event{
		`{"type":3,"invocationId":"5"}`:                        {Completion: "5"},
		`{"type":3,"invocationId":"6","error":"try_again"}`:    {Completion: "6", Error: "try_again"},
		`{"type":3,"invocationId":"7","result":[` + one + `]}`: {Completion: "7", Result: json.RawMessage("[" + one + "]")},
		`{"type":3,"invocationId":"8","result":[]}`:            {Completion: "8", Result: json.RawMessage("[]")},
		`{"type":3,"invocationId":"9","result":[{"error":1}]}`: {Completion: "9", Result: json.RawMessage(`[{"error":1}]`)},
	} {
		for _, full := range []bool{false, true} {
			event, ok, err := decode([]byte(record), full)
			if err != nil || !ok || event.Completion != want.Completion || (event.Error != "") != (want.Error != "") || string(event.Result) != string(want.Result) {
				t.Errorf("full %t: %s is %+v, %v", full, record, event, err)
			}
		}
	}
	if _, ok, err := decode([]byte(`{"type":6}`), false); ok || err != nil {
		t.Errorf("a ping: %t, %v", ok, err)
	}
	_, _, err := decode([]byte(`{"type":7,"allowReconnect":true}`), true)
	var closed *ErrClosed
	if !errors.As(err, &closed) || !closed.Reconnect {
		t.Errorf("a close: %v", err)
	}
}

// TestScan_SyncResult_ReturnsMessages checks order and fields.
func TestScan_SyncResult_ReturnsMessages(t *testing.T) {
	t.Parallel()
	list := Scan(json.RawMessage("[" + one + "," + strings.Replace(one, `"seq":7`, `"seq":9`, 1) + "]"))
	if len(list) != 2 || list[0].Seq != 7 || list[1].Seq != 9 || list[1].Content != "12 xx" {
		t.Errorf("%+v", list)
	}
}

func TestNext_OtherMethods_ReturnInvocations(t *testing.T) {
	t.Parallel()
	event, ok, err := decode([]byte(`{"type":1,"target":"Checkpoint","arguments":["p"]}`), true)
	if err != nil || !ok || event.Target != "Checkpoint" || len(event.Arguments) != 1 || string(event.Arguments[0]) != `"p"` || event.Messages != nil {
		t.Errorf("%+v, %t, %v", event, ok, err)
	}
}

func TestDial_Token_InHeaderOrQuery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config        Config
		target, heads string
	}{
		{Config{Token: "a+b"}, "/online-mobile-user", "\r\nAuthorization: Bearer a+b"},
		{Config{Path: BusinessPath, Token: "a+b", InQuery: true}, "/business-user?access_token=a%2Bb", ""},
	} {
		if target, heads := c.config.target(), c.config.authorization(); target != c.target || heads != c.heads {
			t.Errorf("%q with %q, want %q with %q", target, heads, c.target, c.heads)
		}
	}
}
