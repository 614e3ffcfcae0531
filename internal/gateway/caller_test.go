package gateway_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shout sends bytes and returns everything that the gateway sends until it closes the connection.
func (f *front) shout(text string) string {
	f.t.Helper()
	c := dialRaw(f.t, f.Listener.Addr().String())
	if _, err := io.WriteString(c.conn, text); err != nil {
		f.t.Fatal(err)
	}
	return c.rest()
}

// rest returns everything that is received until the connection ends.
func (c *rawCaller) rest() string {
	c.t.Helper()
	text, err := io.ReadAll(c.in)
	if err != nil {
		c.t.Error(err)
	}
	return string(text)
}

// TestGateway_HalfClosedClient_IsAnswered closes the sending side after the request, as nc -N does, and reads the response.
func TestGateway_HalfClosedClient_IsAnswered(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]string{
		"call":    "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"batch":   "POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000),
		"chunked": "POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"stream":  "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inside, goOn := make(chan struct{}), make(chan struct{})
			n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				inside <- struct{}{}
				<-goOn
				_, _ = io.WriteString(w, "the answer")
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
			<-inside
			close(goOn)
			if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, "the answer") {
				t.Errorf("got %q, want 200 with the answer", got)
			}
		})
	}
}

// TestStream_GatewayStopsBeforeStart_Is503 stops the gateway before the node has started its response.
func TestStream_GatewayStopsBeforeStart_Is503(t *testing.T) {
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

// TestStream_EitherSideEnds_EndsOther also checks that a broken stream does not look complete, and that its slot is freed.
func TestStream_EitherSideEnds_EndsOther(t *testing.T) {
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
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for r.Context().Err() == nil { // a disconnect is noticed by a write
					_, _ = io.WriteString(w, "data: x\n\n")
					_ = http.NewResponseController(w).Flush()
					<-tick.C
				}
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
