package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
)

// TestResponse_ClientDoesNotRead_IsAborted checks that a long response and a stream are aborted if the client does not read.
func TestResponse_ClientDoesNotRead_IsAborted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64<<10)
	for path, busy := range map[string]func(gateway.NodeStats) int{
		"/v1/messages": func(n gateway.NodeStats) int { return n.Calls },
		"/v1/events":   func(n gateway.NodeStats) int { return n.Streams },
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := io.WriteString(w, long); err != nil {
						return
					}
				}
			})
			f := newFront(t, func(o *gateway.Options) { o.WriteTimeout = time.Second }, n)
			f.awaitUp(1)
			conn, err := net.Dial("tcp", f.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return busy(f.Stats().Nodes[0]) == 0 }, func() string { return "its slot is still taken" })
		})
	}
}

// TestStream_Silent_StaysOpen checks that a stream may be silent for longer than WriteTimeout.
func TestStream_Silent_StaysOpen(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/short" {
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
		if r.URL.Path != "/v1/events" {
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "the end")
	})
	const within = time.Second
	f := newFront(t, func(o *gateway.Options) { o.WriteTimeout = within }, n)
	f.awaitUp(1)
	stream, err := f.Client().Get(f.URL + "/v1/events") //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if _, err := io.CopyN(io.Discard, stream.Body, 64<<10); err != nil {
		t.Fatal(err)
	}
	idle := dialRaw(t, f.Listener.Addr().String())
	idle.call(http.MethodGet, "/v1/messages")
	<-time.After(within + within/10) // a bound of the kernel's, which no bubble has
	if got := idle.call(http.MethodGet, "/v1/short"); got != http.StatusOK {
		t.Errorf("on an idle connection: %d", got)
	}
	next <- struct{}{}
	if rest, err := io.ReadAll(stream.Body); string(rest) != "the end" || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// TestResponse_NodeStops_TimesOut checks a node that stops in the middle of a long response.
func TestResponse_NodeStops_TimesOut(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f := newFront(t, func(o *gateway.Options) { o.ResponseTimeout = time.Second }, n)
	f.awaitUp(1)
	if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusBadGateway {
		t.Errorf("half an answer: %d %.100s", got.status, got.body)
	}
}
