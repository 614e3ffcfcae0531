package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// careless is a balancer that ignores connection tokens: negotiations go to one server, all later requests
// to another.
type careless struct {
	*httptest.Server
	strays atomic.Int64 // requests that went elsewhere
}

func newCareless(t *testing.T, negotiations, rest *platform) *careless {
	t.Helper()
	to := func(p *platform) *httputil.ReverseProxy {
		u, err := url.Parse(p.node.URL)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, FlushInterval: -1}
	}
	first, other := to(negotiations), to(rest)
	c := &careless{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/negotiate") {
			first.ServeHTTP(w, r)
			return
		}
		c.strays.Add(1)
		other.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { c.CloseClientConnections(); c.Close() })
	return c
}

// TestForeignConnections_AllTransports_ReachTheirNode sends every request of a connection to a gateway or to a node that
// does not hold it. Over each transport the requests reach the holder: the phone gets waiting and new messages and
// acknowledges them.
func TestForeignConnections_AllTransports_ReachTheirNode(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 2)
	holder, other := nodes[0], nodes[1]
	gateway := startGateway(t, holder.secrets, "--redis-url", redisURL)
	gateway.awaitNodes(2)
	tunnels := startGateway(t, holder.secrets, "--redis-url", redisURL, "--proxy-websockets")
	tunnels.awaitNodes(2)
	for i, way := range ways {
		through := gateway
		if way.Transport == "WebSockets" {
			through = tunnels
		}
		for name, astray := range map[string]*platform{"gateway": through, "node": other} {
			t.Run(way.Transport+" "+way.Protocol+" by a "+name, func(t *testing.T) {
				gateway, holder, other, astray := gateway.in(t), holder.in(t), other.in(t), astray.in(t)
				balancer := newCareless(t, holder, astray)
				number := fmt.Sprintf("+96777700%d00%d", i, len(name))
				waits := other.send(number, "waits", "normal")
				ph := newDriver(gateway, "phone.mjs")
				ph.do(map[string]any{
					"command": "connect", "url": balancer.URL + "/online-mobile-user", "token": holder.token(number, "a"), "ack": "each",
					"transport": way.Transport, "protocol": way.Protocol,
				})
				ph.await(1)
				comes := other.send(number, "comes", "normal")
				ph.await(2)
				for _, m := range []message{waits, comes} {
					other.awaitStatus(m.ID, "delivered")
				}
				if here, there := holder.metric("esh3ar_sessions"), other.metric("esh3ar_sessions"); here != 1 || there != 0 {
					t.Errorf("%g phones at the node that answered the negotiation, %g at the other", here, there)
				}
				if balancer.strays.Load() == 0 {
					t.Error("nothing went astray")
				}
				ph.do(map[string]any{"command": "stop"})
				eventually(t, func() bool { return holder.metric("esh3ar_sessions") == 0 }, func() string { return "the phone's goodbye did not arrive" })
			})
		}
	}
}
