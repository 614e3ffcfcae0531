package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// unreadConns opens connections that send text and do not read.
func (f *front) openUnread(n int, text string) []*rawCaller {
	var conns []*rawCaller
	f.t.Helper()
	for range n {
		c := dialRaw(f.t, f.Listener.Addr().String())
		if _, err := io.WriteString(c.conn, text); err != nil {
			f.t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

// accepted makes a call whose credential a node accepts.
func (f *front) accepted(key string) []string {
	f.t.Helper()
	if got := f.do(http.MethodGet, "/v1/usage", "", "Authorization", key); got.status >= 300 {
		f.t.Fatalf("%d %s", got.status, got.body)
	}
	return []string{"Authorization", key}
}

func calls(f *front) int { return f.Stats().Nodes[0].Calls }

// TestGateway_AnnouncedBodies_HoldNoSlot announces bodies without sending them, and checks that other calls are served.
func TestGateway_AnnouncedBodies_HoldNoSlot(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"a length": "Content-Length: 200000", "chunks": "Transfer-Encoding: chunked", "a small one": "Content-Length: 2000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "n", says("n"))
			f := newFront(t, func(o *gateway.Options) { o.Rules, o.Large = balance.Rules{Slots: 4}, 4 }, n)
			f.awaitUp(1)
			f.openUnread(40, "POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n")
			for range 20 {
				if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
					t.Fatalf("beside them: got %d %s, want 202", got.status, got.body)
				}
			}
			if got := f.do(http.MethodPost, "/v1/messages/batch", strings.Repeat("x", 200_000)); got.status != http.StatusAccepted {
				t.Errorf("a batch beside them: got %d %s, want 202", got.status, got.body)
			}
			if n.calls.Load() != 21 {
				t.Errorf("%d calls came to the node, want 21", n.calls.Load())
			}
		})
	}
}

// TestGateway_EarlyResponse_EndsTheRequest lets a node answer before it has read the body. The client gets the response at once,
// and the slot is freed although the rest of the body never arrives.
func TestGateway_EarlyResponse_EndsTheRequest(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 413, 415, 429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength > maxSmall {
					w.Header().Set("X-Early", "yes")
					w.WriteHeader(status)
					_ = http.NewResponseController(w).Flush()
					return
				}
				says("n")(w, r)
			})
			f := newFront(t, func(o *gateway.Options) { o.Rules = balance.Rules{Slots: 2} }, n)
			f.awaitUp(1)
			for range 5 {
				for _, c := range f.openUnread(1, "POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n{") {
					if got := c.rest(); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d", status)) || !strings.Contains(got, "Connection: close") {
						t.Fatalf("got %.200q, want %d and the end of the connection", got, status)
					}
				}
			}
			eventually(t, func() bool { return calls(f) == 0 }, func() string { return "a slot is still taken" })
			if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
				t.Errorf("afterwards: got %d %s, want 202", got.status, got.body)
			}
		})
	}
}

const maxSmall = 128 << 10

// TestGateway_UnreadResponses_HoldNoSlot pipelines requests for pages and lists and never reads.
func TestGateway_UnreadResponses_HoldNoSlot(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("x", 300<<10)
	for name, path := range map[string]string{"a page": "/demo/phone.js", "a list": "/v1/messages"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					says("n")(w, r)
				} else {
					_, _ = io.WriteString(w, page)
				}
			})
			f := newFront(t, func(o *gateway.Options) { o.Rules, o.Memory = balance.Rules{Slots: 4}, 64<<20 }, n)
			f.awaitUp(1)
			before := n.calls.Load()
			f.openUnread(20, strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 200))
			eventually(t, func() bool { return n.calls.Load() > before+4 && calls(f) == 0 }, func() string { return fmt.Sprintf("%+v", f.Stats()) })
			for range 20 {
				if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
					t.Fatalf("beside them: got %d %s, want 202", got.status, got.body)
				}
			}
		})
	}
}

// TestGateway_UnreadShortResponse_EndsConnection checks that writes of short responses have a deadline.
func TestGateway_UnreadShortResponse_EndsConnection(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 8000)) })
	f := newFront(t, func(o *gateway.Options) { o.WriteTimeout = 500 * time.Millisecond }, n)
	f.awaitUp(1)
	ended := make(chan struct{}, 100)
	s := httptest.NewUnstartedServer(f.Gateway)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	for _, path := range []string{"/v1/x", "/livez", "/nothing"} {
		c := dialRaw(t, s.Listener.Addr().String())
		go func() { // until the gateway takes no more
			for {
				if _, err := io.WriteString(c.conn, strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 1000)); err != nil {
					return
				}
			}
		}()
		<-ended
	}
}

// TestGateway_AddressAtItsShare_LeavesSlotsToProvenCallers uses up an address's share with unanswered calls, and checks that a
// proven credential gets a slot immediately.
func TestGateway_AddressAtItsShare_LeavesSlotsToProvenCallers(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/held" || r.URL.Path == "/v1/events" && r.Header.Get("Authorization") == "" {
			<-gate
		}
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) {
		o.Rules = balance.Rules{Slots: 16, Streams: 8}
		o.Waiting = 16
		o.QueueTimeout = time.Hour
		o.ResponseTimeout = time.Hour
	}, n)
	f.awaitUp(1)
	key := f.accepted("Bearer good")
	f.openUnread(60, "POST /v1/held HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	f.openUnread(20, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, func() bool { s := f.Stats(); return s.Waiting >= 10 && s.Share > 10 }, func() string { return fmt.Sprintf("%+v", f.Stats()) })
	for range 20 {
		if got := f.do(http.MethodPost, "/v1/messages", "x", key...); got.status != http.StatusAccepted {
			t.Fatalf("a call: got %d %s, want 202", got.status, got.body)
		}
	}
	if got := f.do(http.MethodGet, "/v1/events", "", key...); got.status != http.StatusAccepted {
		t.Errorf("a stream: got %d %s, want 202", got.status, got.body)
	}
	s := f.Stats().Nodes[0]
	if all := s.Calls + s.Streams; all < 8 || all > 12 || s.Streams > 6 {
		t.Errorf("strangers have %d calls and %d streams under way, want at most 12 of 16 together and 6 of 8", s.Calls, s.Streams)
	}
	open()
}

// TestGateway_LargeBodiesOfAddress_LeaveMemoryToProvenCallers uses up an address's share of memory with unfinished bodies.
func TestGateway_LargeBodiesOfAddress_LeaveMemoryToProvenCallers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	f := newFront(t, func(o *gateway.Options) { o.Memory = 16 << 20 }, n)
	f.awaitUp(1)
	key := f.accepted("Bearer good")
	body := strings.Repeat("x", 120<<10)
	for range 100 { // of 128 KiB each, without an end
		c := dialRaw(t, f.Listener.Addr().String())
		fmt.Fprintf(c.conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", maxSmall, body)
	}
	used := func() (used int64) {
		for _, p := range f.Stats().Pools {
			if strings.Contains(p.Name, "strangers") {
				used = p.InUse
			}
		}
		return used
	}
	eventually(t, func() bool { return used() >= 1<<20 }, func() string { return fmt.Sprintf("%+v", f.Stats().Pools) })
	for range 20 {
		if got := f.do(http.MethodPost, "/v1/messages", body, key...); got.status != http.StatusAccepted {
			t.Fatalf("a call with 120 KiB: got %d %s, want 202", got.status, got.body)
		}
	}
	if got := f.do(http.MethodPost, "/v1/messages/batch", strings.Repeat("x", 2_200_000), append(key, "Idempotency-Key", "k")...); got.status != http.StatusAccepted {
		t.Errorf("a batch of 2.2 MB: got %d %s, want 202", got.status, got.body)
	}
}

// TestGateway_Panic_EndsOneConnection checks that a panic is counted and frees its slot.
func TestGateway_Panic_EndsOneConnection(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	log := &lockedText{}
	f := newFront(t, func(o *gateway.Options) {
		o.Log = textLog(log)
		o.NodeOf = func(r *http.Request) string {
			panic("a fault met on the way of " + r.URL.Path)
		}
	}, n)
	f.awaitUp(1)
	f.panics.Store(2)
	for range 2 {
		if got := f.shout("POST /hub?id=x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); got != "" {
			t.Errorf("got %q, want the end of the connection", got)
		}
	}
	if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
		t.Errorf("beside it: got %d, want 202", got.status)
	}
	if text := log.String(); strings.Count(text, "please report it") != 2 || !strings.Contains(text, "slots_test.go") {
		t.Errorf("the log has not the stack of each: %s", text)
	}
}

// TestGateway_OperatorRoutes_AreRefused checks different spellings, with and without ForwardAdmin.
func TestGateway_OperatorRoutes_AreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	closed, open := newFront(t, nil, n), newFront(t, func(o *gateway.Options) { o.ForwardAdmin = true }, n)
	closed.awaitUp(1)
	open.awaitUp(1)
	for _, path := range []string{
		"/admin", "/admin/v1/nodes", "//admin/v1/nodes", "/./admin/v1", "/v1/../admin/v1", "/%61dmin/v1", "/ADMIN/v1", "/admin%2fv1", "/debug/pprof/heap", "/metrics/x", "/x/..//metrics/",
	} {
		before := n.calls.Load()
		got := closed.shout("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 403") || !strings.Contains(got, "--forward-admin") || n.calls.Load() != before {
			t.Errorf("%s: got %.200q and %d calls, want 403 and none", path, got, n.calls.Load()-before)
		}
		if got := open.shout("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 202") {
			t.Errorf("%s: got %.200q, want 202 with --forward-admin", path, got)
		}
	}
	for _, path := range []string{"/administrators", "/v1/admin", "/metricsx"} {
		if got := closed.do(http.MethodGet, path, ""); got.status != http.StatusAccepted {
			t.Errorf("%s: got %d, want 202", path, got.status)
		}
	}
}

// TestGateway_OddRequests_ReachNoNode sends methods and targets that a gateway does not forward.
func TestGateway_OddRequests_ReachNoNode(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	f := newFront(t, nil, n)
	f.awaitUp(1)
	for request, want := range map[string]string{
		"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80": "405",
		"TRACE /v1/x HTTP/1.1\r\nHost: x":                         "405",
		"GET * HTTP/1.1\r\nHost: x":                               "400",
		"GET /v1/x HTTP/1.1\r\nHost: a,b":                         "400",
		"GET /v1/x HTTP/1.1\r\nHost: a\r\nHost: b":                "400",
		"GET http://a@b/v1/../admin HTTP/1.1\r\nHost: x":          "4",
	} {
		if got := f.shout(request + "\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%q: got %.100q, want %s", request, got, want)
		}
	}
	if n.calls.Load() != 0 {
		t.Errorf("%d calls came to the node, want none", n.calls.Load())
	}
}
