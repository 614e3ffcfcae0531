package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// TestForward_Request_ReachesNodeUnchanged checks the request at the node: as the client sent it, with X-Forwarded headers and
// without hop-by-hop headers.
func TestForward_Request_ReachesNodeUnchanged(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	n := newNode(t, "n", func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	f := newFront(t, nil, n)
	f.awaitUp(1)
	f.do(http.MethodPost, "/v1/x%2Fy?a=b&c", "body", "Authorization", "Bearer k", "X-Forwarded-For", "10.0.0.1", "X-Hop", "1",
		"Connection", "X-Hop", gateway.MarkHeader, gateway.MarkNegotiate, "Te", "trailers")
	r := <-seen
	if r.RequestURI != "/v1/x%2Fy?a=b&c" || r.Method != http.MethodPost || r.ContentLength != 4 || r.Host != strings.TrimPrefix(f.URL, "http://") {
		t.Errorf("%s %s %d %s", r.Method, r.RequestURI, r.ContentLength, r.Host)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer k", "X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": r.Host,
		"X-Hop": "", "Te": "", "Connection": "", gateway.MarkHeader: "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if trace := r.Header.Get("Traceparent"); len(trace) != 55 || !strings.HasPrefix(trace, "00-") {
		t.Errorf("Traceparent: %q", trace)
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.do(http.MethodGet, "/", "", "Traceparent", trace, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "example.org")
	r = <-seen
	if strings.Join(r.Header["X-Forwarded-Host"], "|") != "example.org" || r.Header.Get("Traceparent") != trace || r.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("%v", r.Header)
	}
}

// TestBody_TooLarge_ReachesNoNode sends bodies above the limits.
func TestBody_TooLarge_ReachesNoNode(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	f := newFront(t, nil, n)
	f.awaitUp(1)
	for _, c := range []struct {
		path    string
		size    int
		chunked bool
		want    int
	}{
		{"/v1/messages", 128 << 10, false, 202},
		{"/v1/messages", 128<<10 + 1, false, 413},
		{"/v1/messages", 128 << 10, true, 202},
		{"/v1/messages", 128<<10 + 1, true, 413},
		{"/v1/messages/batch", 16 << 20, false, 202},
		{"/v1/messages/batch", 16<<20 + 1, false, 413},
		{"/v1/messages/batch", 16 << 20, true, 202},
		{"/v1/messages/batch", 16<<20 + 1, true, 413},
	} {
		var body io.Reader = bytes.NewReader(bytes.Repeat([]byte("x"), c.size))
		if c.chunked {
			body = io.MultiReader(body) // hides the length
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+c.path, body)
		if err != nil {
			t.Fatal(err)
		}
		got := f.send(req)
		if got.status != c.want {
			t.Errorf("%s, %d bytes, chunked %t: %d, want %d", c.path, c.size, c.chunked, got.status, c.want)
		}
		if c.want == 202 && len(got.body) != c.size+2 {
			t.Errorf("%s, %d bytes, chunked %t: %d bytes came back", c.path, c.size, c.chunked, len(got.body))
		}
	}
}

// TestBatch_WithKey_IsRetried checks that a streamed body is sent again from the buffer.
func TestBatch_WithKey_IsRetried(t *testing.T) {
	t.Parallel()
	bad, good := newNode(t, "bad", breaks), newNode(t, "good", says("good"))
	f := newFront(t, func(o *gateway.Options) { o.Rules.Failures = 1000 }, bad, good)
	f.awaitUp(2)
	body := strings.Repeat("0123456789", 100_000)
	for bad.calls.Load() == 0 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/v1/messages/batch", io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		if got := f.send(req); got.status != http.StatusAccepted || got.body != "good "+body {
			t.Fatalf("%d, %d bytes", got.status, len(got.body))
		}
	}
}

// TestSlots_AllInUse_CallsQueue checks that a call waits for a slot, for a bounded time and in a bounded queue.
func TestSlots_AllInUse_CallsQueue(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 10)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-gate
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) {
		o.Rules = balance.Rules{Slots: 2}
		o.Waiting = 1
		o.QueueTimeout = time.Hour
		o.CheckInterval = time.Hour // a check lets the line move up as well
	}, n)
	f.awaitUp(1)
	var calls sync.WaitGroup
	statuses := make(chan int, 3)
	call := func() { statuses <- f.do(http.MethodPost, "/v1/messages", "x").status }
	calls.Go(call)
	calls.Go(call)
	<-inside
	<-inside
	calls.Go(call) // waits in the queue
	eventually(t, func() bool { return f.Stats().Waiting == 1 }, func() string { return "nobody waits" })
	got := f.do(http.MethodPost, "/v1/messages", "x") // the line is full
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"overloaded"`) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	close(gate)
	calls.Wait()
	for range 3 {
		if status := <-statuses; status != http.StatusAccepted {
			t.Errorf("a call that had or waited for a slot: %d", status)
		}
	}
	if s := f.Stats(); s.Waiting != 0 || s.Full != 1 {
		t.Errorf("%+v", s)
	}
}

func textLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// TestSlots_AllInUse_NegotiationsQueue checks that a negotiation waits like a call; otherwise the phone would have to retry. A
// stream is refused immediately, because it is unknown when a stream slot becomes free.
func TestSlots_AllInUse_NegotiationsQueue(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/messages" {
			inside <- struct{}{}
			<-gate
		}
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) { o.Rules, o.QueueTimeout = balance.Rules{Slots: 1, Streams: 1}, time.Hour }, n)
	f.awaitUp(1)
	var calls sync.WaitGroup
	calls.Go(func() { f.do(http.MethodPost, "/v1/messages", "x") })
	<-inside
	calls.Go(func() {
		if got := f.do(http.MethodPost, "/hub/negotiate", ""); got.status != http.StatusAccepted {
			t.Errorf("a negotiation: %d %s", got.status, got.body)
		}
	})
	eventually(t, func() bool { return f.Stats().Waiting == 1 }, func() string { return "the phone does not wait" })
	if got := f.do(http.MethodGet, "/v1/events", ""); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a stream: %d %v", got.status, got.header)
	}
	open()
	calls.Wait()
}

// TestQueue_Timeout_Is503 checks that a call that waits too long is refused and removed from the queue.
func TestQueue_Timeout_Is503(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	n := newNode(t, "n", func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-gate })
	f := newFront(t, func(o *gateway.Options) { o.Rules, o.QueueTimeout = balance.Rules{Slots: 1}, time.Millisecond }, n)
	f.awaitUp(1)
	var first sync.WaitGroup
	first.Go(func() { f.do(http.MethodPost, "/v1/messages", "x") })
	<-inside
	if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusServiceUnavailable {
		t.Errorf("%d", got.status)
	}
	if s := f.Stats(); s.Waiting != 0 || s.Nodes[0].Calls != 1 {
		t.Errorf("%+v", s)
	}
	close(gate)
	first.Wait()
}

// TestGateway_ClientDisconnects_NodeIsNotBlamed checks that the call is completed at the node, because a disconnect cannot be
// distinguished from a half-close, and that its slot is freed.
func TestGateway_ClientDisconnects_NodeIsNotBlamed(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}, 1), make(chan struct{})
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-goOn
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) { o.Rules.Failures = 1 }, n)
	f.awaitUp(1)
	c := dialRaw(t, f.Listener.Addr().String())
	_, _ = io.WriteString(c.conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	<-inside
	c.conn.Close()
	close(goOn)
	eventually(t, func() bool { return f.Stats().Nodes[0].Calls == 0 }, func() string { return "its slot is still taken" })
	if s := f.Stats(); s.Nodes[0].State != balance.Up || s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
}

// TestStream_Events_ArriveAsSent checks that server-sent events are flushed one by one, and that the stream ends with the
// gateway.
func TestStream_Events_ArriveAsSent(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			select {
			case event := <-next:
				fmt.Fprintf(w, "data: %s\n\n", event)
			case <-r.Context().Done():
				return
			}
		}
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	resp, err := f.Client().Get(f.URL + "/v1/events") //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, event := range []string{"one", "two"} {
		next <- event
		line, err := lines.ReadString('\n')
		if err != nil || line != "data: "+event+"\n" {
			t.Fatalf("%q %v", line, err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.Stats().Nodes[0]; s.Streams != 1 || s.Calls != 0 {
		t.Errorf("%+v", s)
	}
	f.Drain(t.Context())
	if _, err := lines.ReadString('\n'); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on beyond the gateway: %v", err)
	}
	if got := f.do(http.MethodGet, "/readyz", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("a gateway that stops is ready: %d", got.status)
	}
	alive, err := f.Client().Get(f.URL + "/livez") //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Body.Close()
	if alive.StatusCode != http.StatusOK || !alive.Close {
		t.Errorf("livez: %d, and the caller is told to come back on another connection: %t", alive.StatusCode, alive.Close)
	}
}

// TestNode_Draining_GetsNoNewCalls also checks that calls in progress are answered, and that the node knows when every gateway
// has seen it not ready.
func TestNode_Draining_GetsNoNewCalls(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 100)
	stops := newNode(t, "stops", func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-gate
		says("stops")(w, r)
	})
	stays := newNode(t, "stays", says("stays"))
	f := newFront(t, nil, stops, stays)
	f.awaitUp(2)
	var calls sync.WaitGroup
	calls.Go(func() {
		for { // until one is there
			if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
				t.Errorf("%d %s", got.status, got.body)
			} else if got.body == "stops x" {
				return
			}
		}
	})
	<-inside
	stops.stopping.Store(true)
	stops.watched.WaitUntilObserved(t.Context())
	close(gate)
	calls.Wait() // so that it would be as good as the other
	for range 20 {
		if got := f.do(http.MethodPost, "/v1/messages", "x"); got.body != "stays x" {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if came := stops.calls.Load(); came != 1 {
		t.Errorf("%d calls came to a node that stops", came-1)
	}
}

// TestReadinessProbe_NoGateways_DoesNotWait shuts down a node that no gateway checks.
func TestReadinessProbe_NoGateways_DoesNotWait(t *testing.T) {
	t.Parallel()
	var w gateway.ReadinessProbe
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.WaitUntilObserved(context.WithoutCancel(ctx)) // returns, or the test hangs
}

// TestRegistry_ListChanges_NodesFollow checks that nodes follow the list. While the registry is unavailable or empty, or lists
// no usable node, the last list is used.
func TestRegistry_ListChanges_NodesFollow(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "a", says("a")), newNode(t, "b", says("b"))
	var list registry
	list.set(nil, a)
	log := &lockedText{}
	f := newFront(t, func(o *gateway.Options) {
		o.Registry = &list
		o.Rules.Grace = time.Nanosecond
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}, []*node{}...)
	f.awaitUp(1)
	list.set(nil, a, b)
	f.awaitUp(2)
	garbage := &node{Server: &httptest.Server{URL: "nonsense://"}, name: "garbage"}
	for _, gone := range []func(){
		func() { list.set(errors.New("away")) },
		func() { list.set(nil) },
		func() { list.set(nil, garbage) },
	} {
		gone()
		asked := list.asked.Load()
		eventually(t, func() bool { return list.asked.Load() >= asked+3 }, func() string { return "the registry is not asked" })
		if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
		f.awaitUp(2)
	}
	if said := strings.Count(log.String(), "cannot be used"); said != 1 {
		t.Errorf("of a URL that cannot be used the log speaks %d times\n%s", said, log.String())
	}
	list.set(nil, a)
	eventually(t, func() bool { return len(f.Stats().Nodes) == 1 }, func() string { return fmt.Sprintf("%+v", f.Stats()) })
}

// TestRegistry_Unavailable_FixedListIsUsed checks that nodes of the fixed list get calls while the registry is unavailable or
// empty, and keep their state when the registry lists them.
func TestRegistry_Unavailable_FixedListIsUsed(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "a", says("a")), newNode(t, "b", says("b"))
	var list registry
	list.set(errors.New("away"))
	f := newFront(t, func(o *gateway.Options) { o.Registry, o.Rules.Grace = &list, time.Nanosecond }, a)
	f.awaitUp(1)
	for _, err := range []error{errors.New("away"), nil} { // silent, then empty
		list.set(err)
		asked := list.asked.Load()
		eventually(t, func() bool { return list.asked.Load() >= asked+2 }, func() string { return "the registry is not asked" })
		if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	list.set(nil, a, b)
	eventually(t, func() bool {
		nodes := f.Stats().Nodes
		return len(nodes) == 2 && nodes[0].ID == "a" && nodes[0].State == balance.Up && nodes[1].ID == "b"
	}, func() string { return fmt.Sprintf("%+v", f.Stats().Nodes) })
}

// TestNegotiate_SeveralNodes_FewestPhonesAnswers also checks MarkHeader at the node.
func TestNegotiate_SeveralNodes_FewestPhonesAnswers(t *testing.T) {
	t.Parallel()
	crowded, empty := newNode(t, "crowded", says("crowded")), newNode(t, "empty", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "empty ", r.Header.Get(gateway.MarkHeader))
	})
	crowded.word.Store(&membership.Node{ID: "crowded", Connections: 1000})
	f := newFront(t, nil, crowded, empty)
	f.awaitUp(2)
	for range 50 {
		if got := f.do(http.MethodPost, "/hub/negotiate?negotiateVersion=1", ""); got.body != "empty negotiate" {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := f.do(http.MethodPost, "/hub/negotiate", "", "Connection", "upgrade"); got.body != "empty negotiate" {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, path := range []string{"/HUB/Negotiate", "/hub/negotiate/"} {
		if got := f.do(http.MethodPost, path, ""); got.body != "empty negotiate" {
			t.Errorf("POST %s: got %d %s, want the answer of a negotiation", path, got.status, got.body)
		}
	}
}
