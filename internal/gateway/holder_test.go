package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// ofNode makes every connection token name this node.
func ofNode(name string) func(*gateway.Options) {
	return func(o *gateway.Options) { o.NodeOf = func(*http.Request) string { return name } }
}

// TestHolder_Unavailable_Is404 checks requests for connections of an unknown node and of a node that refuses connections: no
// other node can answer them.
func TestHolder_Unavailable_Is404(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gone", "stranger"} {
		gone := newNode(t, "gone", says("gone"))
		f := newFront(t, ofNode(name), gone)
		f.awaitUp(1)
		gone.Close()
		got := f.do(http.MethodPost, "/hub?ID=token", "x")
		if got.status != http.StatusNotFound || !strings.Contains(got.body, "connect again") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestPoll_LongWait_UsesStreamSlot checks that a long poll has no deadline and uses no call slot.
func TestPoll_LongWait_UsesStreamSlot(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) { inside <- struct{}{}; <-gate; says("n")(w, r) })
	f := newFront(t, ofNode("n"), n)
	f.awaitUp(1)
	answers := make(chan answer)
	go func() { answers <- f.do(http.MethodGet, "/hub?id=token", "") }()
	<-inside
	if s := f.Stats().Nodes[0]; s.Streams != 1 || s.Calls != 0 {
		t.Errorf("%+v", s)
	}
	close(gate)
	if got := <-answers; got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// stateOf waits until the first node is in this state.
func (f *front) stateOf(want balance.State) {
	f.t.Helper()
	eventually(f.t, func() bool { return f.Stats().Nodes[0].State == want }, func() string { return f.Stats().Nodes[0].State.String() })
}

// TestNode_SilentAfterAnswers_IsDown checks that a node that stops answering becomes down. Its calls without a key are not
// aborted, because they cannot be retried.
func TestNode_SilentAfterAnswers_IsDown(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/messages" {
			inside <- struct{}{}
			<-gate
		}
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) { o.CheckTimeout = time.Second }, n)
	f.awaitUp(1)
	f.do(http.MethodGet, "/v1/usage", "")
	answers := make(chan answer)
	go func() { answers <- f.do(http.MethodPost, "/v1/messages", "x") }()
	<-inside
	n.hang.Store(true)
	f.stateOf(balance.Down)
	close(gate)
	if got := <-answers; got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestQueue_NodeComesUp_ServesWaiters checks that a recovered node gets queued calls.
func TestQueue_NodeComesUp_ServesWaiters(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	full := newNode(t, "full", func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-gate })
	comes := newNode(t, "comes", says("comes"))
	comes.stopping.Store(true)
	f := newFront(t, func(o *gateway.Options) { o.Rules, o.QueueTimeout = balance.Rules{Slots: 1}, time.Hour }, full, comes)
	f.awaitUp(1)
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- f.do(http.MethodPost, "/v1/messages", "x") }()
	}
	<-inside
	eventually(t, func() bool { return f.Stats().Waiting == 1 }, func() string { return "nobody waits" })
	comes.stopping.Store(false)
	if got := <-answers; got.body != "comes x" {
		t.Errorf("%d %s", got.status, got.body)
	}
	close(gate)
	<-answers
}

// TestRetry_ThreeRefusals_IsAnswered checks that a call is not tried at a fourth node.
func TestRetry_ThreeRefusals_IsAnswered(t *testing.T) {
	t.Parallel()
	nodes, calls := make([]*node, 5), int64(0)
	for i := range nodes {
		nodes[i] = newNode(t, string(rune('a'+i)), refusing)
	}
	f := newFront(t, nil, nodes...)
	f.awaitUp(5)
	f.do(http.MethodPost, "/v1/messages", "x")
	for _, n := range nodes {
		calls += n.calls.Load()
	}
	if calls != 3 {
		t.Errorf("%d nodes were asked", calls)
	}
}

// TestMemory_Refused_IsNotReleased checks that memory that was not reserved is not released.
func TestMemory_Refused_IsNotReleased(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(o *gateway.Options) { o.Memory = 256 << 10 }, newNode(t, "n", says("n")))
	f.awaitUp(1)
	for range 3 {
		if got := f.do(http.MethodPost, "/v1/messages", strings.Repeat("x", 100<<10)); got.status != http.StatusServiceUnavailable {
			t.Errorf("beyond all memory: %d", got.status)
		}
	}
	if got := f.do(http.MethodPost, "/v1/messages", strings.Repeat("x", 40<<10)); got.status != http.StatusAccepted {
		t.Errorf("within it: %d %s", got.status, got.body)
	}
}
