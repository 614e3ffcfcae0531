package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestGateway_OversizedRequest_IsRefused sends headers and bodies beyond their limits and expects the answers of a node.
func TestGateway_OversizedRequest_IsRefused(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL)
	gateway.awaitNodes(1)
	message := func(bytes int) string { return strings.Repeat(" ", bytes) }
	for _, c := range []struct {
		name, path, body string
		header           string
		status           int
		text             string
	}{
		{"a header of 32 KiB", "/v1/messages", "{}", strings.Repeat("x", 32<<10), http.StatusRequestHeaderFieldsTooLarge, ""},
		{"a body above 128 KiB", "/v1/messages", message(128<<10 + 1), "", http.StatusRequestEntityTooLarge, `"body_too_large"`},
		{"a batch above 16 MiB", "/v1/messages/batch", message(16<<20 + 1), "", http.StatusRequestEntityTooLarge, `"body_too_large"`},
		{"a body of 128 KiB", "/v1/messages", message(128 << 10), "", http.StatusBadRequest, `"invalid_json"`}, // of the node
	} {
		for _, p := range []*platform{gateway, node} {
			status, header, text := p.ask(http.MethodPost, c.path, c.body, map[string]string{"X-Long": c.header})
			if status != c.status || !strings.Contains(text, c.text) {
				t.Errorf("%s at %s: %d %v %.200s", c.name, p.node.URL, status, header, text)
			}
		}
	}
	if got := gateway.metricOr(`esh3ar_gateway_request_seconds_count{route="/v1/messages",status="413"}`, 0); got != 1 {
		t.Errorf("%g calls with a body that is too large are counted", got)
	}
}

// TestGateway_NodeFull_QueuesThenRefuses fills all slots of a paused node. One more call waits in the queue; the next is
// refused at once, and the queued one after its timeout, both with Retry-After. Calls with a slot are answered when the
// node resumes.
func TestGateway_NodeFull_QueuesThenRefuses(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL, "--connections", "2", "--waiting", "1", "--queue-timeout", "10s")
	gateway.awaitNodes(1)
	if err := node.node.Pause(); err != nil {
		t.Fatal(err)
	}
	call := func(want int) {
		status, header, text := gateway.ask(http.MethodPost, "/v1/messages", fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":"x"}`, alice), nil)
		if status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
		if full := status == http.StatusServiceUnavailable; full != (header.Get("Retry-After") != "") || full && !strings.Contains(text, "nothing was stored") {
			t.Errorf("%d %v %s", status, header, text)
		}
	}
	var held, waits sync.WaitGroup
	held.Go(func() { call(http.StatusAccepted) })
	held.Go(func() { call(http.StatusAccepted) })
	gateway.awaitMetric(fmt.Sprintf(`esh3ar_gateway_node_calls{node=%q}`, node.node.URL), 2)
	waits.Go(func() { call(http.StatusServiceUnavailable) })
	gateway.awaitMetric("esh3ar_gateway_waiting", 1)
	call(http.StatusServiceUnavailable)
	waits.Wait()
	gateway.awaitMetric(`esh3ar_gateway_events_total{event="full"}`, 2)
	if err := node.node.Resume(); err != nil {
		t.Fatal(err)
	}
	held.Wait()
}

// awaitMetric waits until a line of the metrics has that value.
func (p *platform) awaitMetric(name string, want float64) {
	p.t.Helper()
	var last float64
	eventually(p.t, func() bool { last = p.metricOr(name, 0); return last == want }, func() string {
		return fmt.Sprintf("%s is %g, want %g", name, last, want)
	})
}
