package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/gateway"
)

// TestRequest_Ambiguous_IsRefusedOrNormalized checks that an ambiguous request is refused or reaches the node in one unambiguous
// form.
func TestRequest_Ambiguous_IsRefusedOrNormalized(t *testing.T) {
	t.Parallel()
	const hidden = "POST /hidden HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		head, body string
		want       string // what the node gets: method, path, body; empty: nothing
		header     string // and a header of it
	}{
		"both lengths":       {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "POST /v1/messages ", ""},
		"two lengths":        {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5", "", "", ""},
		"a list of lengths":  {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 5", "", "", ""},
		"a signed length":    {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: +0", "", "", ""},
		"an odd coding":      {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked", "", "", ""},
		"two codings":        {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked", "0\r\n\r\n", "", ""},
		"space before colon": {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked", "0\r\n\r\n", "", ""},
		"space in a name":    {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX Y: z", "", "", ""},
		"carriage return":    {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Y: a\rTransfer-Encoding: chunked", "", "", ""},
		"no host":            {"POST /v1/messages HTTP/1.1\r\nX-Y: z", "", "", ""},
		"two hosts":          {"POST /v1/messages HTTP/1.1\r\nHost: x\r\nHost: y", "", "", ""},
		"a folded line":      {"GET /v1/x HTTP/1.1\r\nHost: x\r\nX-Y: a\r\n b", "", "GET /v1/x ", "a b"},
		"bare line feeds":    {"GET /v1/x HTTP/1.1\nHost: x\nX-Y: z", "", "GET /v1/x ", "z"},
		"an absolute target": {"GET http://other/v1/x HTTP/1.1\r\nHost: x\r\nX-Y: z", "", "GET /v1/x ", "z"},
		"a body where none is": {
			"GET /v1/x HTTP/1.1\r\nHost: x\r\nX-Y: z\r\nContent-Length: 3", "abc", "GET /v1/x abc", "z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan string, 10)
			n := newNode(t, "n", func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				seen <- fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body) + "|" + r.Header.Get("X-Y")
			})
			f := newFront(t, nil, n)
			f.awaitUp(1)
			answer := f.shout(c.head + "\r\n\r\n" + c.body + hidden)
			close(seen)
			var got []string
			for one := range seen {
				got = append(got, one)
			}
			want := []string{c.want + "|" + c.header, "POST /hidden |"}
			if c.want == "" {
				want = nil
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") || c.want == "" && !strings.HasPrefix(answer, "HTTP/1.1 4") && !strings.HasPrefix(answer, "HTTP/1.1 501") {
				t.Errorf("the node gets %q, want %q; the caller %.100q", got, want, answer)
			}
		})
	}
}

// TestRequest_Upgrade_IsNotForwarded checks that requests cannot switch protocols, except for WebSockets if enabled.
func TestRequest_Upgrade_IsNotForwarded(t *testing.T) {
	t.Parallel()
	for _, tunnels := range []bool{false, true} {
		n := raw(t, func(c net.Conn, r *http.Request) {
			if r.Header.Get("Upgrade") == "" && r.Header.Get("Connection") == "" {
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		})
		f := newFront(t, func(o *gateway.Options) { o.Tunnels = tunnels }, n)
		f.awaitUp(1)
		for _, path := range []string{"/v1/messages", "/hubs", "/hub/negotiate"} {
			got := f.shout("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 204") {
				t.Errorf("%s: %.100q", path, got)
			}
		}
	}
}

// TestResponse_UnexpectedUpgrade_IsAnError answers 101 to a request without Upgrade.
func TestResponse_UnexpectedUpgrade_IsAnError(t *testing.T) {
	t.Parallel()
	n := raw(t, func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusBadGateway {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestTrace_InvalidTraceparent_IsReplaced also checks that the tracestate of an invalid traceparent is removed.
func TestTrace_InvalidTraceparent_IsReplaced(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	n := newNode(t, "n", func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	f := newFront(t, nil, n)
	f.awaitUp(1)
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, trace := range []string{good, "cc" + good[2:] + "-what-will-be"} { // a later version may say more
		f.do(http.MethodGet, "/v1/x", "", "Traceparent", trace, "Tracestate", "a=b")
		if h := <-seen; h.Get("Traceparent") != trace || h.Get("Tracestate") != "a=b" {
			t.Errorf("%q became %q %q", trace, h.Get("Traceparent"), h.Get("Tracestate"))
		}
	}
	for _, trace := range []string{
		"", "x", strings.ToUpper(good), "ff" + good[2:], good + "-more", good[:54], "00_" + good[3:], good[:len(good)-1] + "g",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "cc" + good[2:] + "x",
	} {
		f.do(http.MethodGet, "/v1/x", "", "Traceparent", trace, "Tracestate", "a=b")
		if h := <-seen; h.Get("Traceparent") == trace || len(h.Get("Traceparent")) != 55 || len(h["Traceparent"]) != 1 || h.Get("Tracestate") != "" {
			t.Errorf("%q became %q %q", trace, h["Traceparent"], h.Get("Tracestate"))
		}
	}
	f.shout("GET /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTraceparent: " + good + "\r\nTraceparent: " + good + "\r\n\r\n")
	if h := <-seen; len(h["Traceparent"]) != 1 || h.Get("Traceparent") == good {
		t.Errorf("two became %q", h["Traceparent"])
	}
}

// TestRequest_ExpectContinue_IsAnsweredHere checks that the gateway sends 100 Continue and does not forward Expect.
func TestRequest_ExpectContinue_IsAnsweredHere(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Expect")
		says("n")(w, r)
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	c := dialRaw(t, f.Listener.Addr().String())
	for _, path := range []string{"/v1/messages", "/v1/messages/batch"} {
		fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", path)
		if line, err := c.in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = c.in.ReadString('\n')
		_, _ = io.WriteString(c.conn, "2\r\nhi\r\n0\r\nX-Trailer: x\r\n\r\n")
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); string(body) != "n hi" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		if expect := <-seen; expect != "" {
			t.Errorf("the node is asked for %q", expect)
		}
	}
}

// TestResponse_WithoutBody_KeepsConnections also checks that Content-Length is unchanged.
func TestResponse_WithoutBody_KeepsConnections(t *testing.T) {
	t.Parallel()
	n := raw(t, func(c net.Conn, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		case r.URL.Path == "/v1/same":
			_, _ = io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nEtag: x\r\nContent-Length: 7\r\n\r\n")
		default:
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	c := dialRaw(t, f.Listener.Addr().String())
	for _, one := range []struct{ method, path, want string }{
		{"HEAD", "/v1/x", "200 Content-Length: 100000 Etag: "},
		{"GET", "/v1/same", "304 Content-Length:  Etag: x"},
		{"DELETE", "/v1/x", "204 Content-Length:  Etag: "},
		{"HEAD", "/v1/x", "200 Content-Length: 100000 Etag: "},
	} {
		fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", one.method, one.path)
		resp, err := http.ReadResponse(c.in, &http.Request{Method: one.method})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := fmt.Sprintf("%d Content-Length: %s Etag: %s", resp.StatusCode, resp.Header.Get("Content-Length"), resp.Header.Get("Etag")); got != one.want || resp.Header.Get("Link") != "" {
			t.Errorf("%s %s: %q, want %q", one.method, one.path, got, one.want)
		}
	}
	if s := f.Stats().Nodes[0]; s.Idle != 1 {
		t.Errorf("%d connections to the node are kept, want 1", s.Idle)
	}
}
