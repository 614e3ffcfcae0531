//go:build linux

package httpfast

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestServer_HalfClosedClient_IsAnswered closes the sending side after the request, as `nc -N` does. The request must not be
// cancelled, on the fast path, in net/http, and for a stream.
func TestServer_HalfClosedClient_IsAnswered(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"here":                 post("/fast", "x"),
		"net/http":             post("/slow", "x"),
		"net/http, HTTP/1.0":   "GET /slow HTTP/1.0\r\nHost: x\r\n\r\n",
		"net/http, behind one": get + post("/slow", "x"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, ended := make(chan struct{}, 1), make(chan struct{})
			r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if strings.HasPrefix(req.Host, "plain") { // a request of awaitInputEnd
					return
				}
				begun <- struct{}{}
				<-ended
				if err := req.Context().Err(); err != nil {
					http.Error(w, err.Error(), http.StatusServiceUnavailable)
					return
				}
				_, _ = io.WriteString(w, "first,")
				_ = http.NewResponseController(w).Flush() // fails on the fast path, which does not stream
				_, _ = io.WriteString(w, "second")
			}))
			c := r.dial()
			send(t, c, strings.Replace(head, get, strings.Replace(get, "Host: ", "Host: plain", 1), 1))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			<-begun
			// Usually the server notices the closed side while the handler runs. If not, the test proves less but passes.
			r.awaitInputEnd()
			close(ended)
			answer, err := io.ReadAll(c)
			if err != nil || !strings.Contains(string(answer), "200 OK") || !strings.Contains(string(answer), "second") {
				t.Errorf("got %q, %v; want 200 with the whole body", answer, err)
			}
		})
	}
}

// TestServer_BrokenConnection_CancelsCall resets the connection while the handler runs.
func TestServer_BrokenConnection_CancelsCall(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/fast", "/slow"} {
		begun, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
		r := newFixture(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			begun <- struct{}{}
			<-req.Context().Done()
			cancelled <- struct{}{}
		}))
		c := r.dial()
		send(t, c, post(path, "x"))
		<-begun
		if err := c.SetLinger(0); err != nil { // a reset
			t.Fatal(err)
		}
		_ = c.Close()
		<-cancelled
	}
}

// TestFallback_AmbiguousHead_Is400 sends heads that a proxy in front may interpret differently, as the first request of a
// connection and as a later one, split at different offsets.
func TestFallback_AmbiguousHead_Is400(t *testing.T) {
	t.Parallel()
	const body = "\r\n5\r\nhello\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"length and coding":  {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + body, "400"},
		"coding and length":  {"POST /slow HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n" + body, "400"},
		"on the fast path":   {"POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + body, "400"},
		"two lengths, alike": {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"},
		"two, fast path":     {"POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"},
		"a list of lengths":  {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", "400"},
		"a length with sign": {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", "400"},
		"folded":             {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX: a\r\n b\r\n\r\nhello", "400"},
		"folded coding":      {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n" + body, "400"},
		"bare LF":            {"POST /slow HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\nhello", "400"},
		"bare LF at the end": {"GET /slow HTTP/1.1\r\nHost: x\r\n\n", "400"},
		"space before colon": {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", "400"},
		"coding in HTTP/1.0": {"POST /slow HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + body, "400"},
		"unknown coding":     {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n" + body, "501"},
		"two codings":        {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + body, "501"},
		"two hosts":          {"GET /slow HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"},
		"chunked alone":      {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + body, "200"},
		"length alone":       {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "200"},
		"empty line before":  {"\r\nPOST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "400"},
		"long line":          {"GET /slow HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("Content-Length", 100) + "\r\n\r\n", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) }))
			const idle = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
			for _, before := range []string{"", idle} {
				for _, cut := range []int{0, len(c.text) / 3, len(c.text) / 2} {
					got := r.exchange(before, c.text[:cut], c.text[cut:])
					if !strings.HasPrefix(got, "HTTP/1.1 "+c.want) && !strings.HasPrefix(got, "HTTP/1.0 "+c.want) {
						t.Errorf("after %q, split at %d: got %.40q, want %s", before, cut, got, c.want)
					}
					if c.want != "200" && strings.Count(got, "HTTP/1.1 ") != 1 {
						t.Errorf("after %q: got %q, want one response and a closed connection", before, got)
					}
				}
			}
		})
	}
}

// TestFallback_PipelinedChunked_Closes checks that no request is read after a chunked one whose head was not checked.
func TestFallback_PipelinedChunked_Closes(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) }))
	const slow, chunked = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", "POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	for text, want := range map[string]int{chunked + get: 2, slow + chunked + get: 2, chunked + chunked + get: 2} {
		if got := r.exchange("", text, ""); strings.Count(got, "HTTP/1.1 200") != want {
			t.Errorf("%q: got %q, want %d responses", text, got, want)
		}
	}
}

// TestWorker_Panic_EndsItsConnection panics in a handler and in the parser; other connections are still served.
func TestWorker_Panic_EndsItsConnection(t *testing.T) {
	t.Parallel()
	causes := make(chan any, 2)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/fast/fault" {
			panic("a fault of a handler")
		}
	})
	r := newFixtureWith(t, handler, func(server *Server) {
		server.OnPanic = func(cause any) { causes <- cause }
		takes := server.accepts
		server.accepts = func(method, path string) bool {
			if path == "/fast/parser" {
				panic("a fault of the parser")
			}
			return takes(method, path)
		}
	})
	for path, want := range map[string]string{"/fast/fault": "a fault of a handler", "/fast/parser": "a fault of the parser"} {
		if got := r.exchange("", post(path, "x"), ""); got != "" {
			t.Errorf("%s: answer %q, want a closed connection", path, got)
		}
		if cause := <-causes; cause != want {
			t.Errorf("%s: recovered %v, want %v", path, cause, want)
		}
	}
	if got := r.exchange("", post("/fast", "x"), ""); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("another connection: got %q, want 200", got)
	}
}
