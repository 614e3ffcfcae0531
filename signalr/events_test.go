package signalr

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestServerSentEvents(t *testing.T) {
	t.Attr("checklist", "item33 item49 item57")
	hub, gone := echoHub()
	On0(hub, "Abort", func(c *Call) error { c.Conn().Abort(); return nil })
	h := start(t, hub, quiet())
	ask, answered := echo(1)

	t.Run("item45 head and first comment come before any data", func(t *testing.T) {
		l := h.negotiated("").listen() // reads the comment
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-cache,no-store", "Pragma": "no-cache",
			"Content-Encoding": "identity", "X-Accel-Buffering": "no",
		} {
			if got := l.resp.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		l.post(hello)
		l.expect("{}")
		if name := h.only().Transport(); name != "ServerSentEvents" {
			t.Error(name)
		}
		l.stop()
		if err := await(t, gone, "OnDisconnected"); err != nil {
			t.Error(err)
		}
		h.gone()
	})
	t.Run("item46 item50 each batch is an event, at once", func(t *testing.T) {
		l := h.listenDial()
		l.msg(ask)
		if got := l.event(); got != answered+"\x1e" {
			t.Errorf("%q", got)
		}
		one, two := JSONFrame([]byte("{\"a\":\r\n1,\n\"b\":2}\x1e")), JSONFrame([]byte("{}\x1e"))
		if err := h.only().TryWrite(one, two); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"data: {\"a\":", "data: 1,", "data: \"b\":2}\x1e{}\x1e", ""} {
			if got := l.line(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		l.stop()
		await(t, gone, "OnDisconnected")
		h.gone()
	})
	t.Run("item47 requests that are refused", func(t *testing.T) {
		f := h.negotiated("")
		for _, tc := range []struct {
			query  string
			status int
			body   string
		}{{"", 400, idRequired}, {"?id=x", 404, noConnection}} {
			a, err := h.request(context.Background(), "GET", tc.query, "", "Accept", "text/event-stream")
			if err != nil || a.status != tc.status || a.body != tc.body {
				t.Errorf("%s: %+v %v", tc.query, a, err)
			}
		}
		l := f.listen("Last-Event-ID", "7")
		if again := f.listen(); again.resp.StatusCode != 409 {
			t.Errorf("already active: %d", again.resp.StatusCode)
		}
		f.want(f.do("GET", ""), 400, "Cannot change transports mid-connection")
		if _, resp := h.raw(f.query); resp.StatusCode != 400 {
			t.Errorf("WebSocket: %d", resp.StatusCode)
		}
		f.want(f.do("DELETE", ""), 400, "Cannot terminate this connection using the DELETE endpoint.")
		l.stop()
		h.gone()
		if over := f.listen(); over.resp.StatusCode != 404 {
			t.Errorf("disposed: %d", over.resp.StatusCode)
		}
	})
	t.Run("item49 pings flow, and their absence is judged", func(t *testing.T) {
		l := h.listenDial()
		l.msg(`{"type":6}`)
		h.pass(15 * time.Second)
		l.expect(`{"type":6}`)
		h.pass(15 * time.Second)
		l.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
		l.expectEnd()
		if err := await(t, gone, "OnDisconnected"); !errors.Is(err, errClientTimeout) {
			t.Error(err)
		}
		h.gone()
	})
	t.Run("item49 the server's end closes the response", func(t *testing.T) {
		l := h.listenDial()
		l.msg(ask, `{"type":1,"target":"Abort","arguments":[]}`)
		l.expect(answered, `{"type":7}`)
		l.expectEnd()
		await(t, gone, "OnDisconnected")
		h.gone()
		l.want(l.do("POST", "x"), 404, noConnection)
	})
	t.Run("item71 refused handshake", func(t *testing.T) {
		l := h.negotiated("").listen()
		l.msg(`{"protocol":"x","version":1}`)
		l.expect(`{"error":"The protocol 'x' is not supported."}`)
		l.expectEnd()
		h.gone()
	})
}

func TestProtocolNeedsBinary(t *testing.T) {
	t.Attr("checklist", "item48")
	s := NewServer(NewHub(), Options{Pollers: -1})
	r := httptest.NewRequest("GET", "/hub", http.NoBody)
	for kind, want := range map[Transports]string{
		WebSockets: "", LongPolling: "",
		ServerSentEvents: "Cannot use the 'messagepack' protocol on the current transport. The transport does not support 'Binary' transfer format.",
	} {
		if got := s.newConn("i", "t", Identity{}, r, kind).unfit(packProtocol{}, 1); got != want {
			t.Errorf("%v: %s", kind, got)
		}
	}
}

func TestEventsKeepOrder(t *testing.T) {
	t.Attr("checklist", "item163")
	hub, met, _ := meetingHub()
	h := start(t, hub, Options{})
	l := h.listenDial()
	conn := await(t, met, "connection")
	go func() {
		for i := range 2000 {
			ask, _ := echo(i) // any text will do
			if conn.Write(context.Background(), JSONFrame([]byte(ask+"\x1e"))) != nil {
				return
			}
		}
	}()
	for i := range 2000 {
		ask, _ := echo(i)
		l.expect(ask)
	}
}

func TestEvents_ClientDoesNotRead_ConnectionEnds(t *testing.T) {
	t.Attr("checklist", "item43 item49")
	hub, met, gone := meetingHub()
	opts := quiet()
	opts.Timeouts.Client = -1
	h := start(t, hub, opts)
	h.listenDial()
	conn := await(t, met, "connection")
	fill(t, conn, 0)
	h.until("the timeout, once the kernel's buffers are full too", func() bool {
		h.passStuck(time.Second)
		return len(gone) > 0
	})
	if err := await(t, gone, "end"); !errors.Is(err, errSendTimeout) {
		t.Error(err)
	}
	h.gone()
}

func TestEventsShutdown(t *testing.T) {
	t.Attr("checklist", "item150")
	for name, end := range map[string]func(h *harness, cancel func()) error{
		"Shutdown":       func(h *harness, _ func()) error { return h.Shutdown(context.Background()) },
		"the end of Run": func(_ *harness, cancel func()) error { cancel(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			hub, gone := echoHub()
			s := NewServer(hub, quiet())
			h := startWith(t, s)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			l := h.listenDial()
			if err := end(h, cancel); err != nil {
				t.Error(err)
			}
			l.expect(`{"type":7,"allowReconnect":true}`)
			l.expectEnd()
			await(t, gone, "OnDisconnected")
			if err := await(t, done, "Run"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEvents_WriterCannotFlush_IsRefused(t *testing.T) {
	s := NewServer(NewHub(), Options{Pollers: -1})
	w := httptest.NewRecorder()
	w.Body = nil
	s.ServeHTTP(w, httptest.NewRequest("POST", "/hub/negotiate?negotiateVersion=1", http.NoBody))
	s.pending.add("token", negotiated{id: "id"}, 0)
	r := httptest.NewRequest("GET", "/hub?id=token", http.NoBody)
	r.Header.Set("Accept", "text/event-stream")
	s.ServeHTTP(struct{ http.ResponseWriter }{w}, r) // hides Flush
	if n := s.Stats(); n.Active != 0 || n.EndedError != 1 {
		t.Errorf("%+v", n)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("{}\x1e")
	f.Add("\r\n\n\r\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var lines []string
		for line := range strings.SplitSeq(strings.TrimSuffix(string(appendEvent(nil, []byte(text))), "\r\n\r\n"), "\r\n") {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok || strings.Contains(data, "\n") {
				t.Fatalf("line %q of %q", line, text)
			}
			lines = append(lines, data)
		}
		if got, want := strings.Join(lines, "\n"), strings.ReplaceAll(text, "\r\n", "\n"); got != want {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestJSONOverEvents(t *testing.T) {
	// Whatever JSON an application writes, the client parses the same.
	var want, got any
	text := "{\n\t\"a\": [1,\r\n 2]\n}"
	var data strings.Builder
	for line := range strings.SplitSeq(string(appendEvent(nil, []byte(text))), "\r\n") {
		data.WriteString(strings.TrimPrefix(line, "data: ") + "\n")
	}
	if json.Unmarshal([]byte(text), &want) != nil || json.Unmarshal([]byte(data.String()), &got) != nil || got == nil {
		t.Fatal("no JSON")
	}
	if a, b := want.(map[string]any)["a"].([]any), got.(map[string]any)["a"].([]any); len(a) != len(b) || a[1] != b[1] {
		t.Errorf("%v, %v", a, b)
	}
}
