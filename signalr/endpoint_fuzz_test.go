package signalr

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzEndpoints sends requests of every shape at the HTTP side of a server: none may panic, answer what is not in the
// protocol, or leave a connection behind that was not negotiated.
func FuzzEndpoints(f *testing.F) {
	for _, seed := range []struct{ method, path, query, header, body string }{
		{"POST", "/hub/negotiate", "negotiateVersion=1", "X-Requested-With: XMLHttpRequest", ""},
		{"POST", "/hub/negotiate", "negotiateVersion=x&useStatefulReconnect=true", "", "{}"},
		{"POST", "/hub/", "id=x", "Content-Type: text/plain", hello},
		{"GET", "/hub", "id=x&_=17", "Accept: text/event-stream", ""},
		{"GET", "/hub", "", "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", ""},
		{"GET", "/hub", "ID=%zz&id=%00", "Connection: upgrade\nUpgrade: WebSocket", ""},
		{"DELETE", "/hub", "id=x", "Origin: null", ""},
		{"OPTIONS", "/hub/negotiate", "", "Origin: http://example.com\nAccess-Control-Request-Method: POST", ""},
		{"PATCH", "/hub", "", "Authorization: Bearer", ""},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.header, seed.body)
	}
	s := NewServer(NewHub(), Options{Pollers: -1, Authenticate: named})
	f.Fuzz(func(t *testing.T, method, path, query, header, body string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		r := fuzzedRequest(method, path, query, header, body)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a request that hangs is given up, as its client would
		defer cancel()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r.WithContext(ctx))
		switch w.Code {
		case 200, 202, 204, 400, 401, 403, 404, 405, 409, 426, 500, 503: // 500: a recorder cannot be upgraded
		default:
			t.Errorf("%s %s?%s: %d", method, path, query, w.Code)
		}
		if w.Code >= 300 && w.Code < 400 {
			t.Errorf("redirect to %s", w.Header().Get("Location"))
		}
		if n := s.Stats().Active; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// fuzzedRequest is what net/http would make of it, and more than that.
func fuzzedRequest(method, path, query, header, body string) *http.Request {
	r := &http.Request{
		Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: make(http.Header), Host: "example.com",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:1", Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}
	for line := range strings.Lines(header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return r
}
