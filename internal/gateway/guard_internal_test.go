package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestGuardHeads_AmbiguousRequests_Are400 also sends them pipelined, and checks that no handler runs for them.
func TestGuardHeads_AmbiguousRequests_Are400(t *testing.T) {
	t.Parallel()
	var handled, bad atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if handled.Add(1); err != nil || r.URL.Path == "/bad" {
			bad.Add(1)
		}
		_, _ = w.Write(body)
	}))
	s.Listener = GuardHeads(s.Listener)
	s.Start()
	defer s.Close()
	const before = "POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\n\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n" +
		"GET /good HTTP/1.1\r\nHost: x\r\nX-Long: " + "content-length: transfer-encoding:" + "\r\n\r\n"
	for name, request := range map[string]string{
		"length, coding":     "POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding, length":     "POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"in other cases":     "POST /bad HTTP/1.1\r\nHost: x\r\ntransfer-ENCODING: chunked\r\nCONTENT-length:5\r\n\r\n0\r\n\r\n",
		"two lengths":        "POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"two codings":        "POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"a coding of 1.0":    "POST /bad HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"folded":             "POST /bad HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
		"folded into coding": "POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"without CR":         "POST /bad HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
	} {
		for _, first := range []string{"", before} {
			handled.Store(0)
			c, err := s.Client().Transport.(*http.Transport).DialContext(t.Context(), "tcp", s.Listener.Addr().String()) //nolint:forcetypeassert // of httptest
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, first+request)
			in := bufio.NewReader(c)
			want := strings.Count(first, " /good ")
			for range want {
				resp, err := http.ReadResponse(in, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%s: before it: got %v %v, want 200", name, resp, err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Errorf("%s, behind %d: got %v, want 400", name, want, err)
			} else if resp.Body.Close(); resp.StatusCode/100 != 4 && resp.StatusCode != http.StatusNotImplemented {
				t.Errorf("%s, behind %d: got %d, want 400", name, want, resp.StatusCode)
			}
			c.Close()
			if handled.Load() != int64(want) || bad.Load() != 0 {
				t.Errorf("%s: %d requests are handled, want %d; %d of them bad", name, handled.Load(), want, bad.Load())
			}
		}
	}
}

// FuzzHeadGuard checks that the guard's result does not depend on how the input is split, and that it agrees with net/http about
// the framing.
func FuzzHeadGuard(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: x\r\n\r\n"), 3)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), 1)
	f.Add([]byte("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		whole, parts := bytes.Clone(text), bytes.Clone(text)
		var one, other headGuard
		one.inspect(whole)
		size = max(1, size%64)
		for i := 0; i < len(parts); i += size {
			other.inspect(parts[i:min(i+size, len(parts))])
		}
		if !bytes.Equal(whole, parts) {
			t.Fatalf("in one piece %q, in pieces of %d %q", whole, size, parts)
		}
		if !bytes.Equal(whole, text) {
			return // refused
		}
		in := bufio.NewReader(bytes.NewReader(text))
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if len(r.TransferEncoding) > 0 && r.Header.Get("Content-Length") != "" {
				t.Fatalf("%q is taken", text)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
	})
}
