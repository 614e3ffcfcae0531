package signalr

import (
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	t.Attr("checklist", "item141 item144")
	got := Options{}.withDefaults()
	for name, tc := range map[string]struct{ got, want any }{
		"handshake":            {got.Timeouts.Handshake, 15 * time.Second},
		"keep-alive":           {got.Timeouts.KeepAlive, 15 * time.Second},
		"client":               {got.Timeouts.Client, 30 * time.Second},
		"disconnect":           {got.Timeouts.Disconnect, 15 * time.Second},
		"poll":                 {got.Timeouts.Poll, 90 * time.Second},
		"close":                {got.Timeouts.Close, 5 * time.Second},
		"send":                 {got.Timeouts.Send, 10 * time.Second},
		"heartbeat":            {got.Timeouts.Heartbeat, time.Second},
		"message":              {got.Limits.Message, 32768},
		"outbox":               {got.Limits.Outbox, 65536},
		"inbox":                {got.Limits.Inbox, 65536},
		"parallel invocations": {got.Limits.ParallelInvocations, 1},
		"stream buffer":        {got.Limits.StreamBuffer, 10},
	} {
		if tc.got != tc.want {
			t.Errorf("%s is %v, not %v", name, tc.got, tc.want)
		}
	}
	own := Options{Timeouts: Timeouts{KeepAlive: time.Minute, Client: -1}, Limits: Limits{Message: -1}}.withDefaults()
	if own.Timeouts.KeepAlive != time.Minute || own.Timeouts.Client != -1 || own.Limits.Message != -1 {
		t.Errorf("%+v", own)
	}
}
