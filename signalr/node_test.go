package signalr

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

func TestNode(t *testing.T) {
	t.Attr("checklist", "point1")
	h := start(t, NewHub(), Options{Node: "node-1.a"})
	for _, tc := range []struct{ query, key string }{
		{"?negotiateVersion=1", "connectionToken"}, {"", "connectionId"}, // clients of old send their id
	} {
		m := h.negotiate(tc.query)
		token := m[tc.key].(string)
		r := httptest.NewRequest("GET", "/hub?id="+token, http.NoBody)
		if !strings.HasPrefix(token, "node-1.a.") || NodeOf(r) != "node-1.a" {
			t.Errorf("%v", m)
		}
		if _, resp := h.raw("?id=" + token); resp.StatusCode != 101 {
			t.Errorf("%d", resp.StatusCode)
		}
	}
	if id := h.negotiate("?negotiateVersion=1")["connectionId"].(string); len(id) != 22 {
		t.Errorf("%s", id)
	}
	for query, want := range map[string]string{"": "", "?id=": "", "?id=abc": "", "?ID=a.b": "a", "?id=.b": ""} {
		if got := NodeOf(httptest.NewRequest("GET", "/"+query, http.NoBody)); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	for _, name := range []string{"a/b", "ü", "a b", strings.Repeat("x", 129)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", name)
				}
			}()
			NewServer(NewHub(), Options{Node: name})
		}()
	}
}

// Two nodes behind a balancer that knows nothing of sessions: each sends what is the other's to it.
func TestNodes_UnknownToken_IsForwarded(t *testing.T) {
	t.Attr("checklist", "point1")
	hub, _ := echoHub()
	nodes := make(map[string]*harness)
	forward := func(w http.ResponseWriter, r *http.Request, node string) bool {
		to := nodes[node]
		if to == nil {
			return false
		}
		u, _ := url.Parse(to.web.URL)
		httputil.NewSingleHostReverseProxy(u).ServeHTTP(w, r)
		return true
	}
	for _, name := range []string{"one", "two"} {
		nodes[name] = start(t, hub, Options{Node: name, OnUnknownToken: forward, AllowOrigin: AllowOrigins("https://app.example")})
	}
	one, two := nodes["one"], nodes["two"]
	ask, answered := echo(1)

	t.Run("polls", func(t *testing.T) {
		f := one.negotiated("")
		f.h = two
		a := f.do("GET", "", "Origin", "https://app.example")
		f.want(a, 200, "")
		if got := a.header.Values("Access-Control-Allow-Origin"); len(got) != 1 {
			t.Errorf("%v", got)
		}
		f.post(hello)
		f.msg(ask)
		f.expect("{}", answered)
		f.want(f.do("DELETE", ""), 202, "")
	})
	t.Run("events", func(t *testing.T) {
		f := one.negotiated("")
		f.h = two
		l := f.listen()
		l.post(hello)
		l.msg(ask)
		l.expect("{}", answered)
		l.stop()
	})
	t.Run("WebSockets", func(t *testing.T) {
		f := one.negotiated("")
		c, resp := two.raw(f.query)
		if resp.StatusCode != 101 {
			t.Fatalf("%d", resp.StatusCode)
		}
		c.send(hello)
		c.expect("{}")
		c.msg(ask)
		c.expect(answered)
		c.nc.Close()
	})
	t.Run("whoever is not known is not found", func(t *testing.T) {
		f := &fetcher{h: two, t: t, query: "?id=three.x"}
		f.want(f.do("GET", ""), 404, noConnection)
		f.query = "?id=two.x" // its own: never asked
		f.want(f.do("GET", ""), 404, noConnection)
	})
	one.gone()
}

// A balancer that answers 307 is followed by clients, and the server works behind it.
func TestBehindTemporaryRedirects(t *testing.T) {
	t.Attr("checklist", "item26")
	hub, gone := echoHub()
	h := start(t, hub, quiet())
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, h.web.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(front.Close)
	behind := &harness{Server: h.Server, t: t, web: front}
	a, err := behind.request(context.Background(), "POST", "/negotiate?negotiateVersion=1", "")
	var m map[string]any
	if err != nil || json.Unmarshal([]byte(a.body), &m) != nil {
		t.Fatalf("%+v %v", a, err)
	}
	f := &fetcher{h: behind, t: t, query: "?id=" + m["connectionToken"].(string)}
	f.want(f.do("GET", ""), 200, "")
	f.post(hello)
	ask, answered := echo(1)
	f.msg(ask)
	f.expect("{}", answered)
	f.want(f.do("DELETE", ""), 202, "")
	await(t, gone, "OnDisconnected")
	if _, resp := behind.raw(f.query); resp.StatusCode != 307 {
		t.Errorf("%d", resp.StatusCode)
	}
}
