package gateway_test

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// shout sends bytes and gives all that comes back until the gateway ends the connection.
func (f *front) shout(text string) string {
	f.t.Helper()
	c := dialRaw(f.t, f.Listener.Addr().String())
	if _, err := io.WriteString(c.conn, text); err != nil {
		f.t.Fatal(err)
	}
	return c.rest()
}

// rest is what still comes.
func (c *rawCaller) rest() string {
	c.t.Helper()
	text, err := io.ReadAll(c.in)
	if err != nil {
		c.t.Error(err)
	}
	return string(text)
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
		c := dialRaw(t, f.Listener.Addr().String())
		if _, err := io.WriteString(c.conn, call); err != nil {
			t.Fatal(err)
		}
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // as Dial gives it
			t.Fatal(err)
		}
		if got := c.rest(); got != "" {
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

// TestEitherSideLeavesAStream: the other hears of it, a stream that broke off does not look ended, and its slot is free.
func TestEitherSideLeavesAStream(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(n *node, down io.Closer){
		"the caller leaves": func(_ *node, down io.Closer) { down.Close() },
		"the node dies":     func(n *node, _ io.Closer) { n.CloseClientConnections() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
				defer close(left)
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			f := newFront(t, unchecked, n)
			c := dialRaw(t, f.Listener.Addr().String())
			_, _ = io.WriteString(c.conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(c.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 9); err != nil {
				t.Fatal(err)
			}
			leave(n, c.conn)
			<-left
			if rest, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("it looks ended: %q", rest)
			}
			eventually(t, func() bool { return f.Stats().Nodes[0].Streams == 0 }, func() string { return "its slot is still taken" })
		})
	}
}
