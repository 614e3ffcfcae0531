package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/signalr"
)

// patience only bounds a hang.
const patience = 30 * time.Second

// node is a fake node that answers a gateway's checks; a test decides how it answers calls.
type node struct {
	*httptest.Server
	watched  gateway.ReadinessProbe
	name     membership.NodeID
	calls    atomic.Int64
	stopping atomic.Bool
	hang     atomic.Bool // it does not answer checks
	word     atomic.Pointer[membership.Node]
}

// secret is the shared secret of gateways and nodes in tests.
const secret = "a secret of tests"

// newNode starts a node.
func newNode(t *testing.T, name string, handle http.HandlerFunc) *node {
	t.Helper()
	n := &node{name: membership.NodeID(name)}
	n.word.Store(&membership.Node{ID: n.name})
	n.watched.Now, n.watched.Proofs = time.Now, []string{"", secret}
	n.watched.Status = func() membership.Node { return *n.word.Load() }
	n.watched.Ready = func() error {
		if n.stopping.Load() {
			return errors.New("stopping")
		}
		return nil
	}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			if n.hang.Load() {
				<-r.Context().Done()
			}
			n.watched.ServeHTTP(w, r)
			return
		}
		n.calls.Add(1)
		handle(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

// says answers 202 with the node's name and the request's body.
func says(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Node", name)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s", name, body)
	}
}

// breaks reads the whole request and closes the connection.
func breaks(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// refusing answers 503, like a node that stored nothing.
func refusing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "7")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"code":"overloaded"}`))
}

// hubOf knows one hub.
func hubOf(path string) (hub string, negotiate bool) {
	negotiate, ok := signalr.MatchPath(path, "/hub")
	if !ok {
		return "", false
	}
	return "/hub", negotiate
}

// front is a gateway under test.
type front struct {
	*gateway.Gateway
	*httptest.Server
	t      *testing.T
	panics atomic.Uint64 // that the test provokes
}

func newFront(t *testing.T, change func(*gateway.Options), nodes ...*node) *front {
	t.Helper()
	o := gateway.Options{Secret: secret, HubOf: hubOf, CheckInterval: 20 * time.Millisecond, CheckTimeout: 5 * time.Second, DrainNotice: time.Millisecond}
	for _, n := range nodes {
		o.Nodes = append(o.Nodes, n.URL)
	}
	if change != nil {
		change(&o)
	}
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Gateway: g, Server: httptest.NewServer(g), t: t}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Run(ctx) })
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Server.Close()
		stop()
		running.Wait()
		if got, want := f.Stats().Panics, f.panics.Load(); got != want {
			t.Errorf("%d panics, want %d", got, want)
		}
	})
	return f
}

// awaitUp waits until n nodes are up.
func (f *front) awaitUp(want int) {
	f.t.Helper()
	eventually(f.t, func() bool {
		up := 0
		for _, n := range f.Stats().Nodes {
			if n.State.String() == "up" {
				up++
			}
		}
		return up == want
	}, func() string { return fmt.Sprintf("not %d nodes up: %+v", want, f.Stats().Nodes) })
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a call and returns its response. It is safe for concurrent use.
func (f *front) do(method, path, body string, headers ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Error(err)
		return answer{}
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return f.send(req)
}

func (f *front) send(req *http.Request) answer {
	f.t.Helper()
	resp, err := f.Client().Do(req)
	if err != nil {
		f.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// raw starts a listener that passes each connection with its request to serve, which writes the response as bytes.
func raw(t *testing.T, serve func(c net.Conn, r *http.Request)) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Server: &httptest.Server{URL: "http://" + listener.Addr().String(), Listener: listener}}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { n.serveRaw(c, serve) })
		}
	})
	t.Cleanup(func() { listener.Close(); open.Wait() })
	return n
}

func (n *node) serveRaw(c net.Conn, serve func(c net.Conn, r *http.Request)) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.URL.Path == "/readyz" {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"))
			return
		}
		n.calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		serve(c, r)
	}
}

func eventually(t *testing.T, so func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatal(otherwise())
		case <-tick.C:
		}
	}
}

// registry is a fake registry whose list a test changes.
type registry struct {
	mu    sync.Mutex
	nodes []membership.Node
	err   error
	asked atomic.Int64
}

func (r *registry) Nodes(context.Context) ([]membership.Node, error) {
	r.asked.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes, r.err
}

func (r *registry) set(err error, nodes ...*node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes, r.err = nil, err
	for _, n := range nodes {
		r.nodes = append(r.nodes, membership.Node{ID: n.name, URL: n.URL, SeenAt: esh3ar.TimeOf(time.Now()), Proof: secret})
	}
}
