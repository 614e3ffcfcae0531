package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// flock is many phones that connect alike, on Microsoft's client.
type flock struct {
	name   string
	phones *phone
}

// flockSize is how many phones each flock has: enough that a few stragglers would be seen.
const flockSize = 20

// skipping is the transport of clients that connect without negotiating.
const skipping = "WebSockets without negotiation"

// newFlocks connects two flocks for each transport at a URL: one that tries to come back at once, and one that waits for half a
// second.
func newFlocks(at *platform, transports ...string) (flocks []*flock) {
	at.t.Helper()
	for _, transport := range transports {
		for _, delays := range [][]int{microsoftsDelays, {500, 10_000}} {
			f := &flock{fmt.Sprintf("%s, first try after %d ms", transport, delays[0]), newDriver(at, "flock.mjs")}
			var tokens []string
			for i := range flockSize {
				tokens = append(tokens, at.token(fmt.Sprintf("+9677750%02d0%02d", len(flocks), i), "a"))
			}
			f.phones.do(map[string]any{
				"command": "connect", "url": at.node.URL + "/online-mobile-user", "tokens": tokens, "delays": delays,
				"transport": transport, "skipNegotiation": transport == skipping,
			})
			flocks = append(flocks, f)
		}
	}
	return flocks
}

// oneTry checks that every phone was moved once and was back with its first try: it was away for its own delay and the time that
// a connection takes.
func (f *flock) oneTry() {
	t := f.phones.t
	t.Helper()
	for len(f.phones.backs) < flockSize {
		f.phones.take(fmt.Sprintf("%s: %d of %d phones came back", f.name, len(f.phones.backs), flockSize))
	}
	longest := 0
	for _, b := range f.phones.backs {
		longest = max(longest, b.Took)
		if b.Tries != 1 {
			t.Errorf("%s: a phone had to try %d times, and was away for %d ms: %s", f.name, b.Tries, b.Took, b.Text)
		}
	}
	t.Logf("%s: the longest was away for %d ms", f.name, longest)
}

// TestReconnect_NodeStops_FirstTrySucceeds stops a node with SIGTERM; its phones, connected through a gateway, move to
// others.
func TestReconnect_NodeStops_FirstTrySucceeds(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 1)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL, "--proxy-websockets")
	gateway.awaitNodes(1)
	flocks := newFlocks(gateway, "WebSockets", "ServerSentEvents", "LongPolling", skipping)
	stays := nodes[0].join()
	gateway.awaitNodes(2)
	if err := nodes[0].node.Stop(); err != nil {
		t.Error(err)
	}
	for _, f := range flocks {
		f.oneTry()
	}
	eventually(t, func() bool { return stays.metric("esh3ar_sessions") == float64(flockSize*len(flocks)) },
		func() string { return "not all phones are at the node that stays" })
}

// TestReconnect_NodeDrains_FirstTrySucceeds drains a node to which phones connect directly. The node waits until they
// have moved.
func TestReconnect_NodeDrains_FirstTrySucceeds(t *testing.T) {
	t.Parallel()
	nodes, _, _ := cluster(t, 2)
	flocks := newFlocks(nodes[0], "WebSockets", "ServerSentEvents", "LongPolling")
	var answer struct {
		Draining bool `json:"draining"`
	}
	nodes[1].call(http.MethodPost, "/admin/v1/nodes/"+nodes[0].nodeID()+"/drain", nodes[1].secrets.AdminToken, nil, &answer)
	for _, f := range flocks {
		f.oneTry()
	}
	eventually(t, func() bool { return nodes[1].metric("esh3ar_sessions") == float64(flockSize*len(flocks)) },
		func() string { return "not all phones are at the node that stays" })
}
