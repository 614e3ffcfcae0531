package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// reading returns a connection that receives this text.
func reading(text string) *Conn {
	return &Conn{read: bufio.NewReaderSize(strings.NewReader(text), maxHead)}
}

// readWhole reads a whole response as the client gets it.
func readWhole(t *testing.T, text, method string) (Answer, http.Header, string, error) {
	t.Helper()
	c, h := reading(text), http.Header{}
	a, err := c.ReadHead(method, h)
	if err != nil {
		return a, h, "", err
	}
	var body bytes.Buffer
	err = c.Copy(&body, a)
	return a, h, body.String(), err
}

func TestReadHead_ValidResponses_AreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, method string
		status       int
		body         string
		close        bool
	}{
		"length":         {"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", "POST", 202, "hello", false},
		"no reason":      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 200, "", false},
		"chunks":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "GET", 200, "hello", false},
		"chunks, length": {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n", "GET", 200, "he", false},
		"trailer":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nX: y\r\n\r\n", "GET", 200, "he", false},
		"until the end":  {"HTTP/1.1 200 OK\r\n\r\nhello", "GET", 200, "hello", true},
		"says close":     {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhe", "GET", 200, "he", true},
		"close of two":   {"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nhe", "GET", 200, "he", true},
		"kept so long":   {"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhe", "GET", 200, "he", false},
		"old":            {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhe", "GET", 200, "he", true},
		"head":           {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 200, "", false},
		"nothing":        {"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", 204, "", false},
		"as it was":      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 304, "", false},
		"switched":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello", "GET", 101, "hello", true},
		"continue first": {"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nh", "POST", 200, "h", false},
	} {
		a, h, body, err := readWhole(t, c.text, c.method)
		if err != nil || a.Status != c.status || body != c.body || a.close != c.close {
			t.Errorf("%s: %+v %q %v", name, a, body, err)
		}
		if h.Get("Connection") != "" || h.Get("Transfer-Encoding") != "" || h.Get("Keep-Alive") != "" || h.Get("X") != "" {
			t.Errorf("%s: %v concerns one connection only", name, h)
		}
	}
}

func TestReadHead_InvalidResponses_Fail(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another protocol": "SSH-2.0-OpenSSH\r\n\r\n",
		"no status":        "HTTP/1.1 abc OK\r\n\r\n",
		"bare line feed":   "HTTP/1.1 200 OK\nX: y\r\n\r\n",
		"bare return":      "HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n",
		"no colon":         "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"space in a name":  "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
		"bad length":       "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"another coding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
		"too large":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxHead) + "\r\n\r\n",
		"half a head":      "HTTP/1.1 200 OK\r\nContent-Le",
		"half a body":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		"half a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"no last chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
		"no end":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n",
		"nothing":          "",
	} {
		if a, _, body, err := readWhole(t, text, "GET"); err == nil {
			t.Errorf("%s: %+v %q", name, a, body)
		}
	}
	if _, _, _, err := readWhole(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("y", maxHead)+"\r\n\r\n", "GET"); !errors.Is(err, ErrHeadTooLarge) {
		t.Error(err)
	}
	if _, _, _, err := readWhole(t, "HTTP/1.1 200 OK\r\nContent-Le", "GET"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a head: %v", err)
	}
}

// TestReadHead_InPieces_IsRead splits a head at every offset.
func TestReadHead_InPieces_IsRead(t *testing.T) {
	t.Parallel()
	const text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe"
	c := &Conn{read: bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(text)), maxHead)}
	if a, err := c.ReadHead("GET", http.Header{}); err != nil || a.Length != 2 {
		t.Errorf("%+v %v", a, err)
	}
}

// TestReadHead_LengthAndChunked_IgnoresLength also checks that a repeated Content-Length is forwarded once.
func TestReadHead_LengthAndChunked_IgnoresLength(t *testing.T) {
	t.Parallel()
	c, h := reading("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n"), http.Header{}
	a, err := c.ReadHead("GET", h)
	if err != nil || h.Get("Content-Length") != "" {
		t.Errorf("%v %v", h, err)
	}
	if body, ok, err := c.PeekBody(a); ok || err != nil {
		t.Errorf("%q %v", body, err)
	}
	_, h, _, err = readWhole(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhe", "GET")
	if err != nil || len(h["Content-Length"]) != 1 {
		t.Errorf("%v %v", h, err)
	}
}

// TestCopy_Errors_AreAttributed checks which errors count as the client's and which as the node's.
func TestCopy_Errors_AreAttributed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	} {
		if _, _, _, err := readWhole(t, text, "GET"); err == nil || IsCaller(err) {
			t.Errorf("%q broke off: %v", text, err)
		}
		c := reading(text)
		a, err := c.ReadHead("GET", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Copy(failingWriter{}, a); !IsCaller(err) {
			t.Errorf("%q to failingWriter: %v", text, err)
		}
	}
}

// failingWriter is a writer that always fails.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestPeekBody_ShortBody_IsReturned also checks that a longer body is not returned.
func TestPeekBody_ShortBody_IsReturned(t *testing.T) {
	t.Parallel()
	c := reading("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello")
	a, err := c.ReadHead("POST", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	if body, ok, err := c.PeekBody(a); string(body) != "hello" || !ok || err != nil {
		t.Errorf("%q %t %v", body, ok, err)
	}
	if _, ok, err := c.PeekBody(Answer{Length: maxHead + 1}); ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	if _, ok, err := c.PeekBody(Answer{Length: -1}); ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	if _, _, err := c.PeekBody(Answer{Length: 6}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// FuzzAnswer compares the package with net/http: every accepted response must be accepted there with the same meaning.
// feedOn reads answers until the first error, and then checks that it stays.
func feedOn(t *testing.T, text string) {
	t.Helper()
	c := reading(text)
	for range len(text) + 2 {
		a, err := c.ReadHead("GET", http.Header{})
		if err == nil {
			err = c.Copy(io.Discard, a)
		}
		if err == nil && a.Status != http.StatusSwitchingProtocols {
			continue
		}
		if _, again := c.ReadHead("GET", http.Header{}); err != nil && !errors.Is(again, err) {
			t.Fatalf("after %v comes %v", err, again)
		}
		return
	}
	t.Fatal("more answers than bytes")
}

// TestConn_AfterError_StaysFailed checks that all methods return the first error, and that the connection is not reused.
func TestConn_AfterError_StaysFailed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"head":         "HTTP/1.1 2x0 OK\r\n\r\n",
		"name":         "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
		"control":      "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
		"split":        "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\n\r\n",
		"folded":       "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"no name":      "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"interim":      strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhe\r\n0\r\n\r\n",
		"huge chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhe\r\n0\r\n\r\n",
		"trailer":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n",
		"length":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhe",
		"large length": "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhe",
	} {
		c, h := reading(text+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), http.Header{}
		if name == "length" || name == "large length" {
			c = reading(text)
		}
		a, first := c.ReadHead("GET", h)
		if first == nil {
			first = c.Copy(io.Discard, a)
		}
		if first == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for range 3 {
			if _, err := c.ReadHead("GET", h); !errors.Is(err, first) {
				t.Errorf("%s: a head after the error: %v, want %v", name, err, first)
			}
			if err := c.Copy(io.Discard, a); !errors.Is(err, first) {
				t.Errorf("%s: a body after the error: %v, want %v", name, err, first)
			}
			if _, _, err := c.PeekBody(a); !errors.Is(err, first) {
				t.Errorf("%s: a short body after the error: %v, want %v", name, err, first)
			}
		}
	}
}

// TestConn_CopyAfterWriterError_Continues checks that a part that one writer refused goes to the next writer.
func TestConn_CopyAfterWriterError_Continues(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", 2000)
	for name, text := range map[string]string{
		"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		"chunked": fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"end":     "HTTP/1.1 200 OK\r\n\r\n" + body,
	} {
		c := reading(text)
		a, err := c.ReadHead("GET", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		var first, second bytes.Buffer
		full := errors.New("full")
		err = c.Copy(writerFunc(func(part []byte) (int, error) {
			if first.Len()+len(part) > 10_000 {
				return 0, full
			}
			return first.Write(part)
		}), a)
		if !errors.Is(err, full) || !IsCaller(err) {
			t.Fatalf("%s: %v, want that it is full", name, err)
		}
		if err := c.Copy(&second, a); err != nil || first.String()+second.String() != body {
			t.Errorf("%s: %v, %d and %d bytes of %d", name, err, first.Len(), second.Len(), len(body))
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nLocation: /x\r\n\r\nhello")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\nConnection: close\r\n\r\nhello")
	f.Fuzz(func(t *testing.T, text string) {
		a, h, body, err := readWhole(t, text, "GET")
		feedOn(t, text)
		if err != nil || a.Status == http.StatusSwitchingProtocols { // what follows is no body
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if err != nil {
			t.Skip("the library is stricter with what no node says") // control characters in values, odd reasons
		}
		text2, err := io.ReadAll(theirs.Body)
		if theirs.StatusCode != a.Status {
			return // it stops at 1xx
		}
		if err == nil && string(text2) != body {
			t.Errorf("%q, the library: %q", body, text2)
		}
		for name, values := range h {
			if name != "Content-Length" && theirs.Header[name] != nil && strings.Join(theirs.Header[name], "|") != strings.Join(values, "|") {
				t.Errorf("%s: %q, the library: %q", name, values, theirs.Header[name])
			}
		}
	})
}
