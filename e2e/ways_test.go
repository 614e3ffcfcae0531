package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ways lists the valid pairs of transport and protocol: Server-Sent Events carry text only.
var ways = []struct{ Transport, Protocol string }{
	{"WebSockets", "json"},
	{"WebSockets", "messagepack"},
	{"ServerSentEvents", "json"},
	{"LongPolling", "json"},
	{"LongPolling", "messagepack"},
}

// TestHub_AllTransportsAndProtocols_Deliver runs all calls of a phone and a business over each transport and protocol.
func TestHub_AllTransportsAndProtocols_Deliver(t *testing.T) {
	t.Parallel()
	p := start(t)
	for i, way := range ways {
		t.Run(way.Transport+" "+way.Protocol, func(t *testing.T) {
			number := fmt.Sprintf("+96777100010%d", i)
			business := newDriver(p, "business.mjs")
			business.do(map[string]any{
				"command": "connect", "url": p.node.URL + "/business-user", "token": p.secrets.APIKey,
				"transport": way.Transport, "protocol": way.Protocol,
			})
			first := p.send(number, "while away «1»", "normal")
			p.send(number, "while away \"2\"\n", "urgent")
			ph := newDriver(p, "phone.mjs")
			ph.do(map[string]any{
				"command": "connect", "url": p.node.URL + "/online-mobile-user", "token": p.token(number, "a"), "ack": "none",
				"transport": way.Transport, "protocol": way.Protocol,
			})
			ph.await(2)
			live := p.send(number, "مرحبا 👋", "normal")
			ph.await(3)
			if got := strings.Join(contents(ph.got), "|"); got != "while away \"2\"\n|while away «1»|مرحبا 👋" {
				t.Errorf("the phone has %q", got)
			}
			ph.invoke("AcknowledgeMessage", first.ID)
			ph.invoke("AcknowledgeUpTo", live.Seq)
			ph.invoke("MarkAsRead", []string{live.ID})
			p.awaitStatus(first.ID, "delivered")
			p.awaitStatus(live.ID, "read")
			sameMessages(t, ph.invoke("Sync", 0, 100), number)
			if info := string(ph.invoke("ConnectionInfo")); info != fmt.Sprintf(`{"transport":%q,"protocol":%q}`, way.Transport, way.Protocol) {
				t.Errorf("the server says %s", info)
			}
			if _, text := ph.try(map[string]any{"command": "invoke", "method": "Sync", "args": []any{0, 101}}); !strings.Contains(text, "HubException: invalid_argument") {
				t.Errorf("the error is %q", text)
			}
			for read := false; !read; {
				if change := business.take("the business hears of it").Change; change.MessageID == live.ID {
					read = change.Status == "read"
				}
			}
		})
	}
	resp, err := http.Get(p.node.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	metrics := string(text)
	for _, line := range []string{
		`signalr_server_active_connections{hub="mobile",signalr_transport="long_polling"} `,
		`signalr_server_connection_duration_seconds_count{hub="business",signalr_connection_status="normal_closure",signalr_transport="web_sockets"} `,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics has no %s", line)
		}
	}
}

// sameMessages checks the form of the contract: the same keys and types, whatever carried them.
func sameMessages(t *testing.T, result json.RawMessage, number string) {
	t.Helper()
	var messages []map[string]any
	if err := json.Unmarshal(result, &messages); err != nil || len(messages) != 3 {
		t.Fatalf("history %s: %v", result, err)
	}
	for i, m := range messages {
		created, _ := m["createdAt"].(string)
		if m["seq"] != float64(i+1) || m["recipientPhoneNumber"] != number || len(created) != len("2026-11-24T10:00:00.000Z") || len(m) != 9 {
			t.Errorf("message %d is %v", i, m)
		}
	}
}
