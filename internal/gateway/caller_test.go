package gateway_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shout sends bytes, ends its side if it is to, and gives all that comes back.
func (f *front) shout(text string, end bool) string {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	if end {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // as Dial gives it
			f.t.Fatal(err)
		}
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		f.t.Error(err)
	}
	return string(answer)
}

// TestACallThatIsGivenUpIsNotAnswered200: who ends his side of the connection counts as gone, and may still listen.
func TestACallThatIsGivenUpIsNotAnswered200(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		n := newNode(t, "n", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the server looks after the connection
			<-r.Context().Done()
		})
		f := newFront(t, nil, n)
		f.awaitUp(1)
		if got := f.shout(call, true); got != "" {
			t.Errorf("%.20s: %q", call, got)
		}
	}
}

// TestAStreamThatHasNotBegunEndsInWords: a gateway that stops does not answer 200 for a node that has said nothing yet.
func TestAStreamThatHasNotBegunEndsInWords(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{}, 1)
	n := newNode(t, "n", func(_ http.ResponseWriter, r *http.Request) { inside <- struct{}{}; <-r.Context().Done() })
	f := newFront(t, nil, n)
	f.awaitUp(1)
	go func() { <-inside; f.Drain(t.Context()) }()
	if got := f.do(http.MethodGet, "/v1/events", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.status, got.body)
	}
}
