package signalr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines gathers what a server logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// wantOnce checks that there is one line with all the words.
func (l *lines) wantOnce(t *testing.T, words ...string) {
	t.Helper()
	found := 0
	for line := range strings.Lines(l.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d lines with %q, want 1, in:\n%s", found, words, l)
	}
}

func TestLog_HandlerErrors_AreLoggedWithTheirCause(t *testing.T) {
	var log lines
	hub := NewHub()
	On0(hub, "Fails", func(*Call) error { return errors.New("disk on fire") })
	On0(hub, "FailsOnPurpose", func(*Call) error { return Errorf("for the client") })
	On2(hub, "Adds", func(*Call, int, int) error { return nil })
	Stream0(hub, "FailsLater", func(*Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) { yield(0, errors.New("tape torn")) }, nil
	})
	opts := quiet()
	opts.Logger = log.logger()
	h := start(t, hub, opts)
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"1","target":"Fails","arguments":[]}`)
	c.next()
	c.msg(`{"type":1,"invocationId":"2","target":"Adds","arguments":[1,"x"]}`)
	c.expect(`{"type":3,"invocationId":"2","error":"Failed to invoke 'Adds' due to an error on the server."}`)
	c.msg(`{"type":1,"target":"Adds","arguments":[1]}`, `{"type":1,"invocationId":"3","target":"FailsOnPurpose","arguments":[]}`)
	c.next()
	c.msg(call4("4", "FailsLater", ""))
	c.next()
	h.until("lines", func() bool { return strings.Count(log.String(), "\n") >= 4 })
	log.wantOnce(t, "level=ERROR", "method=Fails ", "disk on fire")
	log.wantOnce(t, "level=WARN", "method=Adds", "argument 2 into int", "cannot unmarshal string")
	log.wantOnce(t, "level=WARN", "method=Adds", "provides 1 argument(s) but target expects 2")
	log.wantOnce(t, "level=ERROR", "method=FailsLater", "tape torn")
	if strings.Contains(log.String(), "FailsOnPurpose") {
		t.Errorf("an error for the client is logged:\n%s", &log)
	}
}

func TestServer_RunForgotten_AnswersAndLogsOnce(t *testing.T) {
	var log lines
	s := NewServer(NewHub(), Options{Logger: log.logger()})
	s.made = Now() - int64(startGrace)
	for range 3 {
		for _, target := range []string{"/hub/negotiate?negotiateVersion=1", "/hub"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, nil))
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Server.Run") {
				t.Errorf("%s: %d %q, want 503 that names Server.Run", target, w.Code, w.Body)
			}
		}
	}
	log.wantOnce(t, "Server.Run was not called")
}

// bare hides all of a ResponseWriter but what the interface has.
type bare struct{ http.ResponseWriter }

func TestServer_WriterWithoutUnwrap_IsNamed(t *testing.T) {
	var log lines
	opts := quiet()
	opts.Logger = log.logger()
	h := start(t, NewHub(), opts)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(bare{w}, r) }))
	defer front.Close()
	for range 2 {
		for _, header := range []map[string]string{
			{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
			{"Accept": "text/event-stream"},
		} {
			resp, err := http.Post(front.URL+"/hub/negotiate?negotiateVersion=1", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			var negotiated struct{ ConnectionToken string }
			err = json.NewDecoder(resp.Body).Decode(&negotiated)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/hub?id="+url.QueryEscape(negotiated.ConnectionToken), nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range header {
				r.Header.Set(name, value)
			}
			resp, err = http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), "http.ResponseWriter") {
				t.Errorf("%v: %d %q, want 500 that names the writer", header, resp.StatusCode, body)
			}
		}
	}
	log.wantOnce(t, "WebSockets cannot be opened", "Unwrap()", "signalr.bare")
	log.wantOnce(t, "events cannot be streamed", "Unwrap()", "signalr.bare")
}

func TestConn_RequestNotKept_IsLoggedOnce(t *testing.T) {
	var log lines
	hub := NewHub()
	Handle0(hub, "Ask", func(c *Call) (bool, error) { return c.Conn().Request() == nil, nil })
	opts := quiet()
	opts.Logger = log.logger()
	h := start(t, hub, opts)
	c := h.dial()
	for range 2 {
		c.msg(`{"type":1,"invocationId":"1","target":"Ask","arguments":[]}`)
		c.expect(`{"type":3,"invocationId":"1","result":true}`)
	}
	log.wantOnce(t, "Options.KeepRequest")
}

func TestPreflight_Headers_AreThoseAskedForOrConfigured(t *testing.T) {
	for _, tc := range []struct {
		allow       []string
		asked, want string
	}{
		{nil, "authorization,x-tenant, traceparent", "authorization,x-tenant, traceparent"},
		{nil, "", "authorization, content-type, x-requested-with, x-signalr-user-agent"},
		{nil, "x\u00e4", ""},
		{nil, strings.Repeat("a", 5000), ""},
		{[]string{"authorization", "x-tenant"}, "x-other", "authorization, x-tenant"},
		{[]string{}, "x-other", ""},
	} {
		s := NewServer(NewHub(), Options{AllowOrigin: AllowOrigins("https://app.example"), AllowHeaders: tc.allow})
		for origin, want := range map[string]string{"https://app.example": tc.want, "https://evil.example": ""} {
			r := httptest.NewRequest(http.MethodOptions, "/hub/negotiate", nil)
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Headers", tc.asked)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Headers"); got != want {
				t.Errorf("%s asks for %.40q with %q: got %q, want %q", origin, tc.asked, tc.allow, got, want)
			}
		}
	}
}

// TestCall_Invoke_AnswerBehindAnotherInvocation_Arrives: any context will do.
func TestCall_Invoke_AnswerBehindAnotherInvocation_Arrives(t *testing.T) {
	hub := NewHub()
	Handle0(hub, "Ask", func(c *Call) (string, error) { return Invoke[string](context.Background(), c, "Name") })
	On0(hub, "Nothing", func(*Call) error { return nil })
	h := start(t, hub, quiet())
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"1","target":"Ask","arguments":[]}`)
	var asked struct{ InvocationID string }
	if err := json.Unmarshal([]byte(c.next()), &asked); err != nil {
		t.Fatal(err)
	}
	c.msg(`{"type":1,"target":"Nothing","arguments":[]}`, `{"type":3,"invocationId":"`+asked.InvocationID+`","result":"Ada"}`)
	c.expect(`{"type":3,"invocationId":"1","result":"Ada"}`)
}

// desk is a struct of handlers.
type desk struct{ prefix string }

func (d *desk) Join(_ *Call, a string, b int, c bool, e []string) (string, error) {
	return fmt.Sprint(d.prefix, a, b, c, e), nil
}
func (d *desk) Ring(*Call) error { return Errorf("%s", d.prefix) }
func (d *desk) Count(_ *Call, n int) (iter.Seq2[int, error], error) {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}, nil
}

func (d *desk) Sum(_ *Call, in Upload[int], factor int) (sum int, err error) {
	for n, err := range in.All() {
		if err != nil {
			return 0, err
		}
		sum += n * factor
	}
	return sum, nil
}
func (d *desk) Helper() string { return d.prefix }

func TestHub_HandleMethods_RegistersEveryHandler(t *testing.T) {
	hub := NewHub()
	hub.HandleMethods(&desk{prefix: ">"})
	h := start(t, hub, quiet())
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"1","target":"join","arguments":["a",2,true,["x","y"]]}`)
	c.expect(`{"type":3,"invocationId":"1","result":">a2 true [x y]"}`)
	c.msg(`{"type":1,"invocationId":"2","target":"Ring","arguments":[]}`)
	c.expect(`{"type":3,"invocationId":"2","error":"An unexpected error occurred invoking 'Ring' on the server. HubException: >"}`)
	c.msg(call4("3", "Count", "2"))
	c.expect(item("3", 0), item("3", 1), `{"type":3,"invocationId":"3"}`)
	c.msg(`{"type":1,"invocationId":"4","target":"Sum","arguments":[10],"streamIds":["s"]}`, `{"type":2,"invocationId":"s","item":4}`, `{"type":3,"invocationId":"s"}`)
	c.expect(`{"type":3,"invocationId":"4","result":40}`)
	c.msg(`{"type":1,"invocationId":"5","target":"Helper","arguments":[]}`)
	c.expect(`{"type":3,"invocationId":"5","error":"Failed to invoke 'Helper' due to an error on the server. HubException: Method does not exist."}`)
}

func TestHub_HandleFunc_OtherFunctions_Panic(t *testing.T) {
	for _, f := range []any{nil, 1, func() error { return nil }, func(*Call) {}, func(*Call) int { return 0 }, func(*Call, ...int) error { return nil }, func(*Call) (int, int, error) { return 0, 0, nil }} {
		func() {
			defer func() {
				if cause := recover(); cause == nil || !strings.Contains(fmt.Sprint(cause), "hub method Bad") {
					t.Errorf("%T: panic %v, want one that names the method", f, cause)
				}
			}()
			NewHub().HandleFunc("Bad", f)
		}()
	}
	defer func() {
		if recover() == nil {
			t.Error("a struct without handlers is taken")
		}
	}()
	NewHub().HandleMethods(&http.Server{ReadTimeout: time.Second})
}
