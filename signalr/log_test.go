package signalr

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// logged is what a server has logged, at every level.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// item10 item23: whatever happens, no credential, no connection token, no user and no payload is in the logs.
func TestLogsHaveNoSecrets(t *testing.T) {
	t.Attr("checklist", "item10 item23 point7")
	var log logged
	hub := dispatchHub()
	hub.OnConnected = func(c *Conn) error {
		if c.UserID() == "refused-user" {
			return Errorf("no")
		}
		return nil
	}
	h := start(t, hub, Options{
		Authenticate: named, KeepRequest: true,
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	secrets := []string{"secret-user", "refused-user", "payload-secret", "access_token", "Bearer"}
	const auth = "&access_token=secret-user"

	negotiate := func(version string) string {
		m := h.negotiate("?negotiateVersion=" + version + auth)
		token, _ := m["connectionToken"].(string)
		if version == "0" {
			token = m["connectionId"].(string)
		}
		secrets = append(secrets, token)
		return token
	}
	connect := func(query string) *client {
		c, resp := h.raw(query)
		if resp.StatusCode != 101 {
			t.Fatal(resp.Status)
		}
		c.send(hello)
		c.expect("{}")
		return c
	}
	// Each way a connection can end, and each way a call can go wrong.
	c := connect("?id=" + negotiate("1") + auth)
	c.msg(`{"type":1,"invocationId":"1","target":"Panic","arguments":[]}`, `{"type":1,"invocationId":"2","target":"Bad","arguments":[]}`)
	c.next()
	c.next()
	c.msg(`{"type":1,"target":"payload-secret","arguments":["payload-secret"}`) // no JSON
	c.next()
	c.expectClose(1000)
	c = connect("?id=" + negotiate("0") + auth)
	c.msg(`{"type":1,"target":"x","arguments":["payload-secret` + strings.Repeat("x", 40000) + `"]}`) // too long
	c.next()
	c.expectClose(1000)
	connect("?id=" + negotiate("0") + auth).nc.Close()
	c = connect("?access_token=refused-user")
	c.next()
	c.expectClose(1000)
	c, _ = h.raw("?id=" + negotiate("1") + auth)
	c.send(`{"protocol":"payload-secret","version":1}` + "\x1e")
	c.next()
	c.expectClose(1000)
	f := h.negotiated(auth)
	secrets = append(secrets, f.query)
	f.do("GET", "")
	f.do("POST", hello+`{"type":"payload-secret"}`+"\x1e")
	h.do("GET", "/hub?id=unknown-secret"+auth)
	h.do("DELETE", "/hub?id=unknown-secret"+auth)
	secrets = append(secrets, "unknown-secret")
	f.do("GET", "")
	f.do("DELETE", "")
	h.gone()
	h.until("the log of all ends", func() bool { return strings.Count(log.String(), "connection ended") >= 6 }) // is written after it

	text := log.String()
	for _, want := range []string{`"where":"Panic"`, `"connection":"sha256:`, `"status":"error"`, `"transport":"LongPolling"`, "maximum message size of 32768B was exceeded", "result cannot be encoded"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the logs:\n%s", want, text)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in the logs", secret)
		}
	}
	if n := strings.Count(text, "connection ended"); n != 6 {
		t.Errorf("%d ends were logged:\n%s", n, text)
	}
}
