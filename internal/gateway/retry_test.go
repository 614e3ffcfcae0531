package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// unchecked disables further health checks during a test.
func unchecked(o *gateway.Options) { o.CheckInterval = time.Hour }

// closed is a node whose listener is closed.
func closed(t *testing.T) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	n := &node{}
	n.Server = newNode(t, "closed", breaks).Server
	n.Server.Close()
	return n
}

// TestRetry_ConnectionRefused_GoesToAnotherNode checks that any call is retried if nothing was sent.
func TestRetry_ConnectionRefused_GoesToAnotherNode(t *testing.T) {
	t.Parallel()
	good := newNode(t, "good", says("good"))
	f := newFront(t, unchecked, closed(t), good, closed(t))
	for i := range 20 {
		if got := f.do(http.MethodPost, "/v1/messages", fmt.Sprint(i)); got.status != http.StatusAccepted || got.body != fmt.Sprint("good ", i) {
			t.Fatalf("call %d: %d %s", i, got.status, got.body)
		}
	}
	if calls := good.calls.Load(); calls != 20 {
		t.Errorf("%d calls came, want 20", calls)
	}
	if got := newFront(t, unchecked, closed(t)).do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusServiceUnavailable ||
		got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"overloaded"`) {
		t.Errorf("without any node: %d %v %s", got.status, got.header, got.body)
	}
}

// TestRetry_ConnectionBroken_OnlyIfHarmless checks that a sent call is retried only if that is harmless.
func TestRetry_ConnectionBroken_OnlyIfHarmless(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		want         int
		code         string
	}{
		"without a key": {http.MethodPost, "/v1/messages", nil, http.StatusBadGateway, "sent again it may be processed twice"},
		"with a key":    {http.MethodPost, "/v1/messages", []string{"Idempotency-Key", "k"}, http.StatusAccepted, ""},
		"an empty key":  {http.MethodPost, "/v1/messages", []string{"Idempotency-Key", ""}, http.StatusBadGateway, "outcome_unknown"},
		"only reads":    {http.MethodGet, "/v1/messages/x", nil, http.StatusAccepted, ""},
		"batch":         {http.MethodPost, "/v1/messages/batch", nil, http.StatusBadGateway, "outcome_unknown"},
		"cancel":        {http.MethodDelete, "/v1/messages/x", nil, http.StatusBadGateway, "outcome_unknown"},
		"negotiate":     {http.MethodPost, "/hub/negotiate", nil, http.StatusAccepted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newNode(t, "bad", breaks), newNode(t, "good", says("good"))
			f := newFront(t, func(o *gateway.Options) {
				o.Rules = balance.Rules{Failures: 1000} // it is never ejected
			}, bad, good)
			f.awaitUp(2)
			for bad.calls.Load() == 0 {
				before := bad.calls.Load()
				got := f.do(c.method, c.path, "x", c.headers...)
				if met := bad.calls.Load() > before; met && (got.status != c.want || !strings.Contains(got.body, c.code)) {
					t.Errorf("%d %s, want %d %s", got.status, got.body, c.want, c.code)
				} else if !met && got.status != http.StatusAccepted {
					t.Errorf("the good node's answer is %d %s", got.status, got.body)
				}
			}
		})
	}
}

// TestRetry_NodeOverloaded_GoesToAnotherNode checks that a 503 is retried, and that the last node's 503 is the answer.
func TestRetry_NodeOverloaded_GoesToAnotherNode(t *testing.T) {
	t.Parallel()
	full, good := newNode(t, "full", refusing), newNode(t, "good", says("good"))
	f := newFront(t, nil, full, good)
	f.awaitUp(2)
	for full.calls.Load() == 0 {
		if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusAccepted || got.header.Get("Retry-After") != "" {
			t.Fatalf("%d %v %s", got.status, got.header, got.body)
		}
	}
	other := newNode(t, "other", refusing)
	all := newFront(t, nil, full, other)
	all.awaitUp(2)
	got := all.do(http.MethodPost, "/v1/messages", "x")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "7" || got.body != `{"code":"overloaded"}` {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestRetry_BudgetExhausted_Stops checks that the budget bounds retries if every node breaks calls.
func TestRetry_BudgetExhausted_Stops(t *testing.T) {
	t.Parallel()
	nodes := []*node{newNode(t, "a", breaks), newNode(t, "b", breaks), newNode(t, "c", breaks)}
	f := newFront(t, nil, nodes...)
	f.awaitUp(3)
	const calls = 300
	began := time.Now()
	for i := range calls {
		got := f.do(http.MethodPost, "/v1/messages", "x", "Idempotency-Key", fmt.Sprint(i))
		if got.status != http.StatusBadGateway || !strings.Contains(got.body, `"outcome_unknown"`) || !strings.Contains(got.body, "with the same idempotency key") {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	came := nodes[0].calls.Load() + nodes[1].calls.Load() + nodes[2].calls.Load()
	windows := int64(time.Since(began)/(10*time.Second)) + 1 // each has a reserve of its own
	if most := calls + 100*windows + calls/5; came > most || came <= calls {
		t.Errorf("%d calls became %d; at most %d", calls, came, most)
	}
	if s := f.Stats(); s.RetryBudgetExhausted == 0 || s.Unknown != calls {
		t.Errorf("%+v", s)
	}
}

// TestRetry_ResponseBreaksOff_RetriedOrAborted checks that a short response is retried, and that a long one does not look
// complete.
func TestRetry_ResponseBreaksOff_RetriedOrAborted(t *testing.T) {
	t.Parallel()
	half := raw(t, func(c net.Conn, _ *http.Request) {
		_, _ = c.Write([]byte("HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nhalf"))
		c.Close()
	})
	f := newFront(t, nil, half)
	f.awaitUp(1)
	if got := f.do(http.MethodPost, "/v1/messages", "x"); got.status != http.StatusBadGateway || !strings.Contains(got.body, "outcome_unknown") {
		t.Errorf("%d %s", got.status, got.body)
	}
	long := raw(t, func(c net.Conn, _ *http.Request) {
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000)))
		c.Close()
	})
	f = newFront(t, nil, long)
	f.awaitUp(1)
	if got := f.do(http.MethodGet, "/v1/messages", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("a long one that is kept: %d, want 503", got.status)
	}
	long = raw(t, func(c net.Conn, _ *http.Request) {
		const length = 10 << 20 // more than is kept
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length-1))
		c.Close()
	})
	f = newFront(t, nil, long)
	f.awaitUp(1)
	resp, err := f.Client().Get(f.URL + "/v1/messages") //nolint:noctx // the test ends it
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("half an answer of %d bytes looks whole", n)
	}
}

// TestRetry_NodeSilent_GoesToAnotherNode checks that calls at a node that fails its checks are retried at another node.
func TestRetry_NodeSilent_GoesToAnotherNode(t *testing.T) {
	t.Parallel()
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	silent := newNode(t, "silent", func(http.ResponseWriter, *http.Request) {
		inside <- struct{}{}
		<-gate
	})
	t.Cleanup(func() { close(gate) })
	good := newNode(t, "good", says("good"))
	f := newFront(t, func(o *gateway.Options) { o.CheckTimeout = time.Second }, silent, good) // time enough for the good one
	f.awaitUp(2)
	answers := make(chan answer, 1)
	go func() { // until one call is there
		for {
			if got := f.do(http.MethodPost, "/v1/messages", "x", "Idempotency-Key", "k"); silent.calls.Load() > 0 {
				answers <- got
				return
			}
		}
	}()
	<-inside
	silent.hang.Store(true)
	if got := <-answers; got.status != http.StatusAccepted || got.body != "good x" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestRetry_KeyOnOtherRoutes_IsIgnored checks that a key makes a retry harmless only on the routes where nodes use it, and not if
// Connection names the header, which the node then does not get.
func TestRetry_KeyOnOtherRoutes_IsIgnored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path string
		headers      []string
	}{
		"a business":       {http.MethodPost, "/admin/v1/businesses", nil},
		"dead letters":     {http.MethodPost, "/v1/dead-letters/replay", nil},
		"a cancel":         {http.MethodDelete, "/v1/messages/x", nil},
		"another method":   {http.MethodPut, "/v1/messages", nil},
		"a key with a hop": {http.MethodPost, "/v1/messages", []string{"Connection", "Idempotency-Key"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newNode(t, "a", breaks), newNode(t, "b", breaks)
			f := newFront(t, func(o *gateway.Options) { o.ForwardAdmin = true }, a, b)
			f.awaitUp(2)
			got := f.do(c.method, c.path, "{}", append(c.headers, "Idempotency-Key", "k")...)
			if calls := a.calls.Load() + b.calls.Load(); got.status != http.StatusBadGateway || calls != 1 {
				t.Errorf("%d %s, and %d calls came, want 1", got.status, got.body, calls)
			}
		})
	}
}

// TestRetry_UnknownThenRefused_IsOutcomeUnknown lets one node break a call and another refuse it, in both orders. The answer must
// not be the refusal, because the first node may have processed the call.
func TestRetry_UnknownThenRefused_IsOutcomeUnknown(t *testing.T) {
	t.Parallel()
	limited := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }
	for name, second := range map[string]http.HandlerFunc{"full": refusing, "limited": limited} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			handle := func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					breaks(w, r)
				}
				second(w, r)
			}
			f := newFront(t, nil, newNode(t, "a", handle), newNode(t, "b", handle))
			f.awaitUp(2)
			got := f.do(http.MethodPost, "/v1/messages", "x", "Idempotency-Key", "k")
			if calls.Load() != 2 || got.status != http.StatusBadGateway || !strings.Contains(got.body, "with the same idempotency key") {
				t.Errorf("%d calls, %d %s", calls.Load(), got.status, got.body)
			}
			calls.Store(0)
			if got = f.do(http.MethodGet, "/v1/messages", ""); calls.Load() != 2 || got.status/100 != 4 && got.status != http.StatusServiceUnavailable {
				t.Errorf("what only reads: %d calls, %d %s", calls.Load(), got.status, got.body)
			}
		})
	}
	t.Run("full, then broken", func(t *testing.T) {
		t.Parallel()
		var calls atomic.Int64
		handle := func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				refusing(w, r)
				return
			}
			breaks(w, r)
		}
		f := newFront(t, nil, newNode(t, "a", handle), newNode(t, "b", handle))
		f.awaitUp(2)
		if got := f.do(http.MethodPost, "/v1/messages", "x", "Idempotency-Key", "k"); calls.Load() != 2 || got.status != http.StatusBadGateway {
			t.Errorf("%d calls, %d %s", calls.Load(), got.status, got.body)
		}
	})
}

// TestRetry_ResponseTimeout_CoversAllTries checks that no further node is tried after ResponseTimeout.
func TestRetry_ResponseTimeout_CoversAllTries(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	silent := func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // so that the server looks after the connection
		<-r.Context().Done()
	}
	f := newFront(t, func(o *gateway.Options) { o.ResponseTimeout = 2 * time.Second }, newNode(t, "a", silent), newNode(t, "b", silent))
	f.awaitUp(2)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/v1/messages", http.StatusServiceUnavailable},
		{http.MethodPost, "/v1/messages", http.StatusBadGateway},
		{http.MethodPost, "/v1/messages/batch", http.StatusBadGateway},
	} {
		calls.Store(0)
		if got := f.do(c.method, c.path, "x", "Idempotency-Key", "k"); got.status != c.want || calls.Load() != 1 {
			t.Errorf("%s %s: %d %s, %d calls", c.method, c.path, got.status, got.body, calls.Load())
		}
	}
}

// TestEjection_AnsweredBatch_ResetsCount checks that occasional broken batches do not add up to an ejection.
func TestEjection_AnsweredBatch_ResetsCount(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	odd := newNode(t, "odd", func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%2 == 0 {
			breaks(w, r)
		}
		says("odd")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) { o.Rules = balance.Rules{Failures: 3} }, odd, newNode(t, "good", says("good")))
	f.awaitUp(2)
	for calls.Load() < 8 {
		f.do(http.MethodPost, "/v1/messages/batch", "x")
		for _, n := range f.Stats().Nodes {
			if n.State != balance.Up {
				t.Fatalf("after %d batches, of which every other was answered: %+v", calls.Load(), n)
			}
		}
	}
}

// TestRetry_PartialResponse_IsDiscarded checks that the next node's response contains nothing of the partial one.
func TestRetry_PartialResponse_IsDiscarded(t *testing.T) {
	t.Parallel()
	var met atomic.Int64
	half := raw(t, func(c net.Conn, _ *http.Request) {
		met.Add(1)
		_, _ = c.Write([]byte("HTTP/1.1 202 Accepted\r\nX-Half: 1\r\nContent-Length: 100\r\n\r\nhalf"))
		c.Close()
	})
	f := newFront(t, nil, half, newNode(t, "good", says("good")))
	f.awaitUp(2)
	for met.Load() == 0 {
		if got := f.do(http.MethodPost, "/v1/messages", "x", "Idempotency-Key", "k"); got.body != "good x" || got.header.Get("X-Half") != "" {
			t.Errorf("%d %v %s", got.status, got.header, got.body)
		}
	}
}
