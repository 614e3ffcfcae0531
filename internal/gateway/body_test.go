package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
)

// TestBody_NotSent_TimesOut checks that the server's read timeout applies to streamed bodies, too, even if the response may take
// longer.
func TestBody_NotSent_TimesOut(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	f := newFront(t, func(o *gateway.Options) { o.ResponseTimeout = 4 * patience }, n)
	f.awaitUp(1)
	s := httptest.NewUnstartedServer(f.Gateway)
	s.Config.ReadTimeout, s.Config.ReadHeaderTimeout = 100*time.Millisecond, patience
	s.Start()
	defer s.Close()
	for path, length := range map[string]int{"/v1/messages": 128 << 10, "/v1/messages/batch": 1 << 20} {
		c := dialRaw(t, s.Listener.Addr().String())
		fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", path, length)
		if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.Contains(got, "request_timeout") {
			t.Errorf("%s: %.100q", path, got)
		}
	}
	eventually(t, func() bool { return f.Stats().Nodes[0].Calls == 0 }, func() string { return "its slot is still taken" })
	if s := f.Stats(); s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
}

// TestBody_MemoryUsedUp_RefusedOrNotRetried uses up the memory of bodies. A call that must be buffered is refused; a streamed
// call continues but cannot be retried.
func TestBody_MemoryUsedUp_RefusedOrNotRetried(t *testing.T) {
	t.Parallel()
	const memory = 1 << 20 // of strangers
	gate, inside := make(chan struct{}), make(chan struct{}, 10)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Held") != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			inside <- struct{}{}
			<-gate
			breaks(w, r)
		}
		says("n")(w, r)
	})
	f := newFront(t, func(o *gateway.Options) { o.Memory = 4 * memory }, n)
	f.awaitUp(1)
	text := strings.Repeat("0123456789", memory/10)
	batch := func(size int, headers ...string) answer {
		return f.do(http.MethodPost, "/v1/messages/batch", text[:size], headers...)
	}
	var held sync.WaitGroup
	held.Go(func() {
		if got := batch(memory/2, "Idempotency-Key", "k", "X-Held", "1"); got.status != http.StatusBadGateway {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	<-inside
	if got := batch(len(text), "Idempotency-Key", "l"); got.status != http.StatusAccepted || got.body != "n "+text {
		t.Errorf("a call that cannot be retried: got %d, %d bytes", got.status, len(got.body))
	}
	if got := f.do(http.MethodPost, "/v1/messages", strings.Repeat("x", 100<<10)); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a call without memory: %d %s", got.status, got.body)
	}
	close(gate)
	held.Wait()
	for range 20 { // all of it is given back
		if got := f.do(http.MethodPost, "/v1/messages", strings.Repeat("x", 100<<10)); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
}

// TestBody_Slow_LeavesResponseItsTime checks that the time of the response starts after the body has arrived: a batch on a slow
// link may take longer to arrive than a response may take.
func TestBody_Slow_LeavesResponseItsTime(t *testing.T) {
	t.Parallel()
	const within = 2 * time.Second
	n := newNode(t, "n", says("n"))
	f := newFront(t, func(o *gateway.Options) { o.ResponseTimeout = within }, n)
	f.awaitUp(1)
	var calls sync.WaitGroup
	for _, path := range []string{"/v1/messages", "/v1/messages/batch"} {
		calls.Go(func() {
			body, slow := io.Pipe()
			calls.Go(func() {
				_, _ = io.WriteString(slow, "first")
				<-time.After(within + within/10) // a bound of the kernel's, which no bubble has
				_, _ = io.WriteString(slow, " last")
				slow.Close()
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+path, body)
			if err != nil {
				t.Error(err)
				return
			}
			if got := f.send(req); got.status != http.StatusAccepted || got.body != "n first last" {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		})
	}
	calls.Wait()
}
