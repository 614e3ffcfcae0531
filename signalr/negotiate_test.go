package signalr

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestNegotiate(t *testing.T) {
	h := start(t, NewHub(), Options{})

	t.Run("item01 answers POST with JSON, whatever the body", func(t *testing.T) {
		resp, body := h.do("POST", "/hub/negotiate?negotiateVersion=1", "Content-Type", "text/plain")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || body[0] != '{' {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
	})
	t.Run("item02 other verbs get 405", func(t *testing.T) {
		for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
			resp, _ := h.do(method, "/hub/negotiate")
			if resp.StatusCode != 405 || resp.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("%s: %d", method, resp.StatusCode)
			}
		}
	})
	t.Run("item03 trailing slash without redirect", func(t *testing.T) {
		resp, _ := h.do("POST", "/hub/negotiate")
		if resp.StatusCode != 200 {
			t.Errorf("negotiate: %d", resp.StatusCode)
		}
		for _, path := range []string{"/hub", "/hub/"} {
			if resp, body := h.do("POST", path+"?id=x"); resp.StatusCode != 404 || body != noConnection {
				t.Errorf("%s: %d %s", path, resp.StatusCode, body)
			}
		}
		c, resp := h.raw("/?id=" + h.negotiate("?negotiateVersion=1")["connectionToken"].(string))
		if resp.StatusCode != 101 {
			t.Fatalf("connect with slash: %d", resp.StatusCode)
		}
		c.send(hello)
		c.expect("{}")
	})
	t.Run("item04 query keys in any case", func(t *testing.T) {
		m := h.negotiate("?NegotiateVERSION=1")
		if m["negotiateVersion"] != 1.0 {
			t.Errorf("%v", m)
		}
		if _, resp := h.raw("?ID=" + m["connectionToken"].(string)); resp.StatusCode != 101 {
			t.Errorf("connect: %d", resp.StatusCode)
		}
	})
	t.Run("item05 version 0 has no token", func(t *testing.T) {
		for _, q := range []string{"", "?negotiateVersion=0"} {
			m := h.negotiate(q)
			if _, there := m["connectionToken"]; there || m["negotiateVersion"] != 0.0 {
				t.Errorf("%v", m)
			}
			if _, resp := h.raw("?id=" + m["connectionId"].(string)); resp.StatusCode != 101 {
				t.Errorf("connect by id: %d", resp.StatusCode)
			}
		}
	})
	t.Run("item06 version 1: only the token is a key", func(t *testing.T) {
		m := h.negotiate("?negotiateVersion=1")
		if m["connectionId"] == m["connectionToken"] {
			t.Error("token is the id")
		}
		if _, resp := h.raw("?id=" + m["connectionId"].(string)); resp.StatusCode != 404 {
			t.Errorf("connect by id: %d", resp.StatusCode)
		}
		if _, resp := h.raw("?id=" + m["connectionToken"].(string)); resp.StatusCode != 101 {
			t.Errorf("connect by token: %d", resp.StatusCode)
		}
	})
	t.Run("item07 later versions are answered as 1", func(t *testing.T) {
		if m := h.negotiate("?negotiateVersion=9"); m["negotiateVersion"] != 1.0 {
			t.Errorf("%v", m)
		}
	})
	t.Run("item08 non-integer version", func(t *testing.T) {
		resp, body := h.do("POST", "/hub/negotiate?negotiateVersion=x")
		if want := `{"error":"The client requested a non-integer protocol version."}`; resp.StatusCode != 200 || body != want {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("item09 below the minimum", func(t *testing.T) {
		h := start(t, NewHub(), Options{MinProtocolVersion: 1})
		_, body := h.do("POST", "/hub/negotiate")
		if want := `{"error":"The client requested version '0', but the server does not support this version."}`; body != want {
			t.Errorf("%s", body)
		}
	})
	t.Run("item10 ids are 16 random bytes", func(t *testing.T) {
		m := h.negotiate("?negotiateVersion=1")
		for _, key := range []string{"connectionId", "connectionToken"} {
			if b, err := base64.RawURLEncoding.DecodeString(m[key].(string)); err != nil || len(b) != 16 {
				t.Errorf("%s: %v", key, m[key])
			}
		}
	})
}

func TestNegotiateHook(t *testing.T) {
	var answer Redirect
	var fail error
	h := start(t, NewHub(), Options{OnNegotiate: func(*http.Request, Identity) (Redirect, error) { return answer, fail }})

	t.Run("item13 redirect", func(t *testing.T) {
		answer = Redirect{URL: "http://other/hub", AccessToken: "t"}
		if _, body := h.do("POST", "/hub/negotiate"); body != `{"url":"http://other/hub","accessToken":"t"}` {
			t.Error(body)
		}
	})
	t.Run("item14 error", func(t *testing.T) {
		answer, fail = Redirect{}, Errorf("not today")
		if resp, body := h.do("POST", "/hub/negotiate"); body != `{"error":"not today"}` || resp.StatusCode != 200 {
			t.Error(body)
		}
	})
	t.Run("another error is not shown", func(t *testing.T) {
		fail = errors.New("secret")
		if resp, body := h.do("POST", "/hub/negotiate"); resp.StatusCode != 500 || strings.Contains(body, "secret") {
			t.Error(resp.StatusCode, body)
		}
	})
}

func TestNegotiated(t *testing.T) {
	t.Run("item16 expires", func(t *testing.T) {
		h := start(t, NewHub(), quiet())
		early := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		late := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		h.pass(14 * time.Second)
		if _, resp := h.raw("?id=" + early); resp.StatusCode != 101 {
			t.Errorf("early: %d", resp.StatusCode)
		}
		h.pass(2 * time.Second)
		if _, resp := h.raw("?id=" + late); resp.StatusCode != 404 {
			t.Errorf("late: %d", resp.StatusCode)
		}
		if n := h.Stats().Negotiated; n != 0 {
			t.Errorf("%d left", n)
		}
	})
	t.Run("item16 flood is capped", func(t *testing.T) {
		h := start(t, NewHub(), Options{Limits: Limits{Negotiated: 3}, Timeouts: Timeouts{Heartbeat: time.Hour}})
		token := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		h.negotiate("")
		h.negotiate("")
		if resp, _ := h.do("POST", "/hub/negotiate"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("fourth: %d", resp.StatusCode)
		}
		if _, resp := h.raw("?id=" + token); resp.StatusCode != 101 {
			t.Errorf("connect: %d", resp.StatusCode)
		}
		h.negotiate("") // the one that connected made room
	})
	t.Run("item16 under a flood the oldest gives way, when it had its second", func(t *testing.T) {
		h := start(t, NewHub(), Options{Limits: Limits{Negotiated: 3}, Timeouts: Timeouts{Heartbeat: time.Hour}})
		var tokens []string
		for range 3 {
			tokens = append(tokens, h.negotiate("?negotiateVersion=1")["connectionToken"].(string))
		}
		h.pass(time.Second)
		late := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		for token, want := range map[string]int{tokens[0]: 404, tokens[1]: 101, late: 101} {
			if _, resp := h.raw("?id=" + token); resp.StatusCode != want {
				t.Errorf("%d, want %d", resp.StatusCode, want)
			}
		}
		if n := len(h.pending.queue); n > 3 {
			t.Errorf("%d in the queue", n)
		}
	})
	t.Run("a token serves once", func(t *testing.T) {
		p := newPending(10, time.Second)
		p.add("t", negotiated{id: "i"}, 0)
		if _, found, _ := p.take("t", ""); !found {
			t.Error("not found")
		}
		if _, found, _ := p.take("t", ""); found {
			t.Error("found twice")
		}
	})
}

// byToken takes the bearer token for the user's name.
func byToken(r *http.Request) (Identity, error) {
	token := BearerToken(r)
	if token == "perhaps" {
		return Identity{}, fmt.Errorf("%w: ask me later", ErrUnavailable)
	}
	if token == "" {
		return Identity{}, errors.New("who is it")
	}
	return Identity{UserID: token, Principal: "p-" + token}, nil
}

func TestHTTP(t *testing.T) {
	conns := make(chan *Conn, 10)
	hub := NewHub()
	hub.OnConnected = func(c *Conn) error { conns <- c; return nil }
	h := start(t, hub, Options{Authenticate: byToken, AllowOrigin: AllowOrigins("https://app.example")})

	t.Run("item15 item18 401 with empty body on negotiate and connect", func(t *testing.T) {
		if resp, body := h.do("POST", "/hub/negotiate"); resp.StatusCode != 401 || body != "" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
		if _, resp := h.raw(""); resp.StatusCode != 401 {
			t.Errorf("connect: %d", resp.StatusCode)
		}
	})
	t.Run("503 with empty body while nobody can tell", func(t *testing.T) {
		for _, target := range []string{"/hub/negotiate?access_token=perhaps", "/hub?access_token=perhaps"} {
			resp, body := h.do("POST", target)
			if resp.StatusCode != 503 || body != "" || resp.Header.Get("Retry-After") != "1" || resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s: %d %q %v", target, resp.StatusCode, body, resp.Header)
			}
		}
	})
	t.Run("item20 preflight and CORS", func(t *testing.T) {
		resp, _ := h.do("OPTIONS", "/hub/negotiate", "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
		for _, header := range []string{"authorization", "content-type", "x-requested-with", "x-signalr-user-agent"} {
			if !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), header) {
				t.Errorf("%s is missing", header)
			}
		}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("%s is missing", method)
			}
		}
		resp, _ = h.do("POST", "/hub/negotiate?access_token=u", "Origin", "https://app.example")
		if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
			resp.Header.Get("Access-Control-Allow-Credentials") != "true" || resp.Header.Get("Vary") != "Origin" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
		if resp, _ = h.do("OPTIONS", "/hub/negotiate", "Origin", "https://evil.example"); resp.StatusCode != 403 {
			t.Errorf("evil: %d", resp.StatusCode)
		}
	})
	t.Run("item21 origin of the upgrade", func(t *testing.T) {
		host := strings.TrimPrefix(h.web.URL, "http://")
		for origin, want := range map[string]int{
			"https://evil.example": 403, "null": 403, "https://app.example": 101, "http://" + host: 101,
		} {
			if _, resp := h.raw("?access_token=u", "Origin", origin); resp.StatusCode != want {
				t.Errorf("%s: %d", origin, resp.StatusCode)
			}
		}
	})
	t.Run("item22 item23 item171 token in header and query, connection data", func(t *testing.T) {
		for _, c := range []func() (*client, *http.Response){
			func() (*client, *http.Response) { return h.raw("", "Authorization", "bearer amal") },
			func() (*client, *http.Response) { return h.raw("?Access_Token=amal") },
		} {
			cl, resp := c()
			if resp.StatusCode != 101 {
				t.Fatalf("%d", resp.StatusCode)
			}
			cl.send(hello)
			cl.expect("{}")
			conn := await(t, conns, "OnConnected")
			conn.SetValue(7)
			if conn.UserID() != "amal" || conn.Principal() != "p-amal" || conn.Value() != 7 || len(conn.ID()) != 22 ||
				!conn.RemoteAddr().Addr().IsLoopback() || conn.Protocol() != "json" || conn.Transport() != "WebSockets" {
				t.Errorf("%+v", conn.who)
			}
		}
		if n := len(h.User("amal").Conns()); n != 2 {
			t.Errorf("user has %d connections", n)
		}
	})
	t.Run("item27 another user", func(t *testing.T) {
		m := h.negotiate("?negotiateVersion=1&access_token=amal")
		token := m["connectionToken"].(string)
		if _, resp := h.raw("?access_token=eve&id=" + token); resp.StatusCode != 403 {
			t.Errorf("negotiated: %d", resp.StatusCode)
		}
		if _, resp := h.raw("?access_token=amal&id=" + token); resp.StatusCode != 101 {
			t.Errorf("the right one: %d", resp.StatusCode)
		}
		for _, method := range []string{"POST", "DELETE"} {
			if resp, body := h.do(method, "/hub?access_token=eve&id="+token); resp.StatusCode != 403 ||
				body != "The user associated with this connection changed." {
				t.Errorf("%s: %d %s", method, resp.StatusCode, body)
			}
		}
		if _, resp := h.raw("?access_token=eve&id=" + token); resp.StatusCode != 403 {
			t.Errorf("active: %d", resp.StatusCode)
		}
	})
	t.Run("item29 other verbs", func(t *testing.T) {
		if resp, _ := h.do("PUT", "/hub?access_token=a"); resp.StatusCode != 405 {
			t.Errorf("%d", resp.StatusCode)
		}
	})
	t.Run("item47 item57 item62 requests of other transports", func(t *testing.T) {
		token := h.negotiate("?negotiateVersion=1&access_token=a")["connectionToken"].(string)
		h.raw("?access_token=a&id=" + token)
		for _, tc := range []struct {
			method, query string
			status        int
			body          string
		}{
			{"POST", "", 400, "Connection ID required"},
			{"POST", "&id=x", 404, noConnection},
			{"POST", "&id=" + token, 405, "POST requests are not allowed for WebSocket connections."},
			{"DELETE", "", 400, "Connection ID required"},
			{"DELETE", "&id=x", 404, noConnection},
			{"DELETE", "&id=" + token, 400, "Cannot terminate this connection using the DELETE endpoint."},
		} {
			resp, body := h.do(tc.method, "/hub?access_token=a"+tc.query)
			if resp.StatusCode != tc.status || body != tc.body {
				t.Errorf("%s %s: %d %s", tc.method, tc.query, resp.StatusCode, body)
			}
		}
	})
}

func TestMountRoot(t *testing.T) {
	mux := http.NewServeMux()
	NewServer(NewHub(), Options{Pollers: -1}).Mount(mux, "/")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/negotiate", http.NoBody))
	if w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}
