package httpfast

import (
	"bufio"
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func newHead() *head {
	header := http.Header{}
	return &head{header: header, request: &http.Request{Header: header}}
}

func acceptAll(string, string) bool { return true }

// fastHeads are heads of the fast path.
var fastHeads = []string{
	"POST /v1/messages HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 12\r\n\r\nHello, world",
	"POST /v1/messages HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\nAuthorization: Bearer esk_x\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET /v1/messages/01a20a0a-a5c9-772d-9475-c9c3389f42d9 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nx-empty:\r\nX-Spaces: \t a b \t\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
}

// fallbackHeads are heads that net/http must handle.
var fallbackHeads = []string{
	"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
	"GET /a HTTP/1.1\nHost: a\n\n",
	"GET /a  HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /%61 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://a/a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a HTTP/1.1\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: \r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
	"GET /a HTTP/1.1\r\n Host: a\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\na",
	"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\na",
	"GET /a HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: a\r\n", maxFields) + "\r\n",
	"\x16\x03\x01\x02\x00",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
}

func TestHead_Parse_AcceptsFastHeadsOnly(t *testing.T) {
	t.Parallel()
	for _, text := range fastHeads {
		size := strings.Index(text, "\r\n\r\n") + 4
		if n, v := newHead().parse([]byte(text), acceptAll); v != fast || n != size {
			t.Errorf("%q: got outcome %d, size %d; want %d, size %d", text, v, n, fast, size)
		}
		h := newHead()
		for n := range size {
			if _, v := h.parse([]byte(text[:n]), acceptAll); v != incomplete {
				t.Errorf("%q: got outcome %d, want %d", text[:n], v, incomplete)
			}
		}
		if _, v := h.parse([]byte(text), func(string, string) bool { return false }); v != fallback {
			t.Errorf("%q, not accepted: got outcome %d, want %d", text, v, fallback)
		}
	}
	for _, text := range fallbackHeads {
		if _, v := newHead().parse([]byte(text), acceptAll); v != fallback {
			t.Errorf("%q: got outcome %d, want %d", text, v, fallback)
		}
	}
}

// FuzzHead checks that net/http accepts every head of the fast path and gives it the same meaning, also after another head on
// the same connection.
func FuzzHead(f *testing.F) {
	for i, text := range slices.Concat(fastHeads, fallbackHeads) {
		f.Add([]byte(fastHeads[i%len(fastHeads)]), []byte(text))
	}
	f.Fuzz(func(t *testing.T, before, b []byte) {
		h := newHead()
		h.parse(before, acceptAll)
		size, v := h.parse(b, acceptAll)
		if n, fresh := newHead().parse(b, acceptAll); n != size || fresh != v {
			t.Fatalf("%d, %d octets; without a head before: %d, %d", v, size, fresh, n)
		}
		if v == fast {
			compare(t, h, size, b)
		}
	})
}

func compare(t *testing.T, h *head, size int, b []byte) {
	t.Helper()
	octets := bytes.NewReader(b)
	buffered := bufio.NewReader(octets)
	want, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("net/http: %v", err)
	}
	if n := len(b) - octets.Len() - buffered.Buffered(); n != size {
		t.Errorf("%d octets; net/http: %d", size, n)
	}
	got := h.request
	if got.Method != want.Method || h.url.Path != want.URL.Path || h.url.String() != want.URL.String() || got.RequestURI != want.RequestURI {
		t.Errorf("%s %s; net/http: %s %s", got.Method, &h.url, want.Method, want.URL)
	}
	if got.Host != want.Host || got.ContentLength != want.ContentLength || want.Close || len(want.TransferEncoding) > 0 || want.ProtoMajor != 1 || want.ProtoMinor != 1 {
		t.Errorf("%s, %d; net/http: %s, %d, close %t, %v, %s", got.Host, got.ContentLength, want.Host, want.ContentLength, want.Close, want.TransferEncoding, want.Proto)
	}
	if !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
		t.Errorf("%v; net/http: %v", got.Header, want.Header)
	}
}
