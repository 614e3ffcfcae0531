package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// apart starts independent nodes with the same API key, for tests of the distribution of calls.
func apart(t *testing.T, n int) (nodes []*platform, urls string) {
	t.Helper()
	for range n {
		p := start(t, "--api-key", "esk_the_same_0123456789abcdef", "--admin-token", "esa_the_same_0123456789abcdef")
		nodes = append(nodes, p)
		urls += "," + p.node.URL
	}
	return nodes, urls[1:]
}

// cluster starts nodes that share a database and a Redis.
func cluster(t *testing.T, n int) (nodes []*platform, redisURL string, killRedis func() error) {
	t.Helper()
	redis := redisServer(t)
	nodes = []*platform{start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redis.URL())}
	for len(nodes) < n {
		nodes = append(nodes, nodes[0].join())
	}
	return nodes, redis.URL(), redis.Kill
}

// awaitNodes waits until the gateway balances over the given number of nodes.
func (p *platform) awaitNodes(want int) {
	p.t.Helper()
	var metrics string
	eventually(p.t, func() bool {
		_, metrics = p.try(http.MethodGet, "/metrics", "")
		return strings.Count(metrics, `state="up"} 1`) == want
	}, func() string { return fmt.Sprintf("not %d nodes up:\n%s\n%s", want, metrics, p.node.Stderr) })
}

// TestTenThousandCallers is R1.1: concurrent callers make 30,000 calls without retries, and the nodes accept equal
// shares.
func TestTenThousandCallers(t *testing.T) {
	nodes, urls := apart(t, 3)
	// All callers connect at once. By default the gateway holds 2,500 connections that have not sent good credentials yet, and a busy
	// machine may accept more than that before the first call is answered.
	gateway := startGateway(t, nodes[0].secrets, "--nodes", urls, "--connections", "6000", "--max-unauthenticated", "9500")
	gateway.awaitNodes(3)
	const calls = 30_000
	before := takenBy(nodes)
	c := callers{t: t, gateway: gateway, size: 9000} // the gateway may open 20,000 sockets, and each call in flight takes two
	c.run(func(n int64) bool { return n > calls })
	c.noneFailed("all at once")
	least, most, all := math.Inf(1), 0.0, 0.0
	for i, taken := range takenBy(nodes) {
		taken -= before[i]
		least, most, all = min(least, taken), max(most, taken), all+taken
	}
	if all != calls {
		t.Errorf("the nodes took %g calls of %d", all, calls)
	}
	if spread := (most - least) / (all / 3); spread > 0.2 {
		_, metrics := gateway.try(http.MethodGet, "/metrics", "")
		t.Errorf("(max − min) / mean = %.2f, want at most 0.2\n%s\n%s", spread, metrics, gateway.node.Stderr)
	}
}

func takenBy(nodes []*platform) (taken []float64) {
	for _, n := range nodes {
		taken = append(taken, n.accepted())
	}
	return taken
}

// TestGateway_SlowNode_GetsFewerCalls checks that a node with a tenth of the CPU time gets fewer calls, and that few calls through the gateway
// are slow.
func TestGateway_SlowNode_GetsFewerCalls(t *testing.T) {
	nodes, urls := apart(t, 3)
	gateway := startGateway(t, nodes[0].secrets, "--nodes", urls)
	gateway.awaitNodes(3)
	c := callers{t: t, gateway: gateway, size: 30}
	c.run(func(n int64) bool { return n > 6000 })
	c.noneFailed("before")
	slow := nodes[1]
	var faults []string
	for range 3 { // beside other work every node is slow at times
		if faults = besideASlowNode(t, gateway, nodes, slow); len(faults) == 0 {
			break
		}
		t.Log(faults)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
	before := [3]float64{nodes[0].accepted(), nodes[1].accepted(), nodes[2].accepted()}
	eventually(t, func() bool { // its share recovers
		c.run(func(n int64) bool { return n > 3000 })
		got := slow.accepted() - before[1]
		rest := nodes[0].accepted() - before[0] + nodes[2].accepted() - before[2]
		before = [3]float64{nodes[0].accepted(), nodes[1].accepted(), nodes[2].accepted()}
		return got/(got+rest) > 0.25
	}, func() string { return "the node does not get its share back" })
}

// besideASlowNode calls a slow node and the gateway at the same time, and describes the effect on callers of the
// gateway.
func besideASlowNode(t *testing.T, gateway *platform, nodes []*platform, slow *platform) (faults []string) {
	t.Helper()
	defer slowDown(t, slow.node)()
	all := func() (sum float64) {
		for _, n := range nodes {
			sum += n.accepted()
		}
		return sum
	}
	const calls = 200
	mine, everybodys := slow.accepted(), all()
	direct := callers{t: t, gateway: slow, size: 2} // latency of direct calls to the slow node
	through := callers{t: t, gateway: gateway, size: 6}
	var measured sync.WaitGroup
	measured.Go(func() { direct.run(func(n int64) bool { return n > calls }) })
	measured.Go(func() { through.run(func(n int64) bool { return n > 10*calls }) })
	measured.Wait()
	mine, everybodys = slow.accepted()-mine-calls, all()-everybodys-calls
	direct.noneFailed("directly")
	through.noneFailed("with a slow node")
	if share := mine / everybodys; share > 0.15 {
		faults = append(faults, fmt.Sprintf("the slow node has %.2f of the calls", share))
	}
	if here, there := mean(through.took), mean(direct.took); here > there/2 {
		faults = append(faults, fmt.Sprintf("a call through the gateway takes %s, one to the slow node %s", here, there))
	}
	stopped, met := quantile(direct.took, 0.95), 0 // what a call takes that meets a stopped node
	for _, took := range through.took {
		if took > stopped/2 {
			met++
		}
	}
	if met > len(through.took)/20 {
		faults = append(faults, fmt.Sprintf("%d of %d calls met the slow node while it was stopped", met, len(through.took)))
	}
	return faults
}

// slowDown lets a node run for 10 ms of every 100 ms.
func slowDown(t *testing.T, n *nodeproc.Node) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var slowing sync.WaitGroup
	slowing.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			switch i % 10 {
			case 0:
				_ = n.Resume() // the end of the test may have come first
			case 1:
				_ = n.Pause()
			}
			<-tick.C
		}
		_ = n.Resume()
	})
	return func() { cancel(); slowing.Wait() }
}

func mean(took []time.Duration) time.Duration {
	var sum time.Duration
	for _, one := range took {
		sum += one
	}
	return sum / time.Duration(len(took))
}

func quantile(took []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[int(q*float64(len(sorted)-1))]
}

// TestGateway_NodeKilled_NoKeyedCallFails kills a node under load, then repeats this without Redis. No call with an
// idempotency key fails, and no message is stored twice.
func TestGateway_NodeKilled_NoKeyedCallFails(t *testing.T) {
	t.Parallel()
	nodes, redisURL, killRedis := cluster(t, 3)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL)
	gateway.awaitNodes(3)
	c := callers{t: t, gateway: gateway, size: 20, keyed: true}
	var killed sync.Once
	c.run(func(n int64) bool {
		if n > 1500 {
			killed.Do(func() {
				if err := nodes[1].node.Kill(); err != nil {
					t.Error(err)
				}
			})
		}
		return n > 3000
	})
	c.noneFailed("a node was killed")
	gateway.awaitNodes(2)
	if code, out, errs := esh3ar(t, "verify", "--database-url", nodes[0].flags[1]); code != 0 || !strings.Contains(out, "3000") {
		t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
	if err := killRedis(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return strings.Contains(gateway.node.Stderr.String(), "the registry does not answer") },
		func() string { return "the gateway does not say that Redis is away" })
	if err := nodes[2].node.Kill(); err != nil {
		t.Fatal(err)
	}
	again := callers{t: t, gateway: gateway, size: 20}
	again.run(func(n int64) bool { return n > 500 }) // none was in flight at the kill: all are refused and retried at another node
	again.noneFailed("Redis is away, and another node was killed")
}

// TestGateway_NodeDrains_NoCallFails drains a node behind two gateways: no call fails, with or without a key, and its
// phone moves to another node.
func TestGateway_NodeDrains_NoCallFails(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 3)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL)
	gateway.awaitNodes(3)
	ph := newPhone(gateway, alice, "a", "each")
	var holder int
	eventually(t, func() bool {
		holder = slices.IndexFunc(nodes, func(n *platform) bool { return n.metric("esh3ar_sessions") == 1 })
		return holder >= 0
	}, func() string { return "no node has the phone" })
	second := startGateway(t, nodes[0].secrets, "--redis-url", redisURL)
	second.awaitNodes(3)
	stopped := make(chan struct{})
	var drained sync.Once
	enough := func(n int64) bool {
		if n > 300 {
			drained.Do(func() {
				go func() {
					defer close(stopped)
					if err := nodes[holder].node.Stop(); err != nil {
						t.Error(err)
					}
				}()
			})
		}
		select {
		case <-stopped:
			return n > 600
		default:
			return false
		}
	}
	var both sync.WaitGroup
	for _, g := range []*platform{gateway, second} {
		both.Go(func() {
			c := callers{t: t, gateway: g, size: 10}
			c.run(enough)
			c.noneFailed("a node drained")
			if n := g.metric(`esh3ar_gateway_events_total{event="repeated"}`); n != 0 {
				t.Errorf("calls to a closed listener: got %g, want 0", n) // they were retried, but a stopping node must accept calls until the gateways have left
			}
		})
	}
	both.Wait()
	ph.awaitState("reconnected")
	m := gateway.send(alice, "after", "normal")
	gateway.awaitStatus(m.ID, "delivered")
}

// TestGateway_Negotiate_SendsPhonesToNodes negotiates at the gateway with Microsoft's client, as a phone and as a
// business; each connects to a node.
func TestGateway_Negotiate_SendsPhonesToNodes(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 2)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL)
	gateway.awaitNodes(2)
	var phones []*phone
	var on [2]float64
	for len(phones) < 4 || min(on[0], on[1]) < 2 && len(phones) < 20 { // a node that is busy with something else gets fewer
		phones = append(phones, newPhone(gateway, fmt.Sprintf("+96777123%d", 4560+len(phones)), "a", "each"))
		eventually(t, func() bool {
			on = [2]float64{nodes[0].metric("esh3ar_sessions"), nodes[1].metric("esh3ar_sessions")}
			return on[0]+on[1] == float64(len(phones))
		}, func() string { return "the phone is on no node" })
	}
	if min(on[0], on[1]) < 2 {
		t.Errorf("the nodes have %g phones", on)
	}
	for _, n := range nodes {
		if got := gateway.metric(fmt.Sprintf(`esh3ar_gateway_node_streams{node=%q}`, n.nodeID())); got != 0 {
			t.Errorf("%g connections run through the gateway", got)
		}
	}
	business := newDriver(gateway, "business.mjs")
	business.do(map[string]any{"command": "connect", "url": gateway.node.URL + "/business-user", "token": gateway.secrets.APIKey})
	m := gateway.send("+967771234560", "hello", "normal")
	phones[0].await(1)
	gateway.awaitStatus(m.ID, "delivered")
	for len(business.changes) == 0 || business.changes[len(business.changes)-1].Status != "delivered" {
		business.take("the business hears of its message")
	}
	if _, refused := newDriver(gateway, "phone.mjs").try(map[string]any{
		"command": "connect", "url": gateway.node.URL + "/online-mobile-user", "token": gateway.token(alice, "b"), "skipNegotiation": true,
	}); refused == "" {
		t.Error("a WebSocket runs through a gateway that was not asked to")
	}
}

// nodeID returns the id that the node reports.
func (p *platform) nodeID() string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dataDir, "node-id"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestWebSocketsThroughTheGateway checks that a gateway proxies WebSockets of clients that skip negotiation only if
// enabled.
func TestWebSocketsThroughTheGateway(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL, "--proxy-websockets")
	gateway.awaitNodes(1)
	ph := newDriver(gateway, "phone.mjs")
	ph.do(map[string]any{
		"command": "connect", "url": gateway.node.URL + "/online-mobile-user", "token": gateway.token(alice, "a"), "ack": "each", "skipNegotiation": true,
	})
	m := gateway.send(alice, "hello", "normal")
	ph.await(1)
	gateway.awaitStatus(m.ID, "delivered")
	if got := gateway.metric(fmt.Sprintf(`esh3ar_gateway_node_streams{node=%q}`, node.node.URL)); got != 1 {
		t.Errorf("%g connections run through the gateway, want 1", got)
	}
	if err := gateway.node.Stop(); err != nil {
		t.Error(err)
	}
	ph.awaitState("reconnecting")
}

// TestGatewayDrains checks that a gateway answers its calls in flight before it exits with code 0. A caller between two
// calls may write to a closed connection and cannot know whether the call was read: the node must not have accepted an
// unanswered call.
func TestGatewayDrains(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL)
	gateway.awaitNodes(1)
	stopped := make(chan error, 1)
	addr := strings.TrimPrefix(gateway.node.URL, "http://")
	var all sync.WaitGroup
	var stopping atomic.Bool
	var answered atomic.Int64
	for i := range 10 {
		all.Go(func() {
			who := caller{addr: addr, key: gateway.secrets.APIKey}
			defer who.close()
			for n := 0; ; n++ {
				if i == 0 && n == 100 {
					stopping.Store(true)
					go func() { stopped <- gateway.node.Stop() }()
				}
				got, err := who.call(fmt.Sprintf("+9677712%05d", i*10_000+n%10_000), "x", "")
				if err != nil && stopping.Load() {
					return
				}
				if err != nil || got.status != http.StatusAccepted {
					t.Errorf("%d %v", got.status, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	all.Wait()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := node.accepted(); took != float64(answered.Load()) {
		t.Errorf("the node took %g calls, and %d were answered", took, answered.Load())
	}
}

// TestSeveralClusters_OneRedis checks that a gateway serves the cluster whose keys it has, and needs a flag to choose if
// it has the keys of two.
func TestSeveralClusters_OneRedis(t *testing.T) {
	t.Parallel()
	redis := redisServer(t)
	one := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redis.URL())
	other := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redis.URL())
	both := strings.Join(slices.Concat(one.secrets.ClusterKeys, other.secrets.ClusterKeys), ",")
	code, _, errs := esh3ar(t, "gateway", "--listen", "127.0.0.1:0", "--redis-url", redis.URL(), "--cluster-keys", both)
	_, list, found := strings.Cut(strings.TrimSpace(errs), "--cluster: this Redis has several clusters, choose one: ")
	clusters := strings.Split(list, ", ")
	if code != 2 || !found || len(clusters) != 2 {
		t.Fatalf("%d %s", code, errs)
	}
	seen := map[string]bool{}
	for _, p := range []*platform{one, other} {
		for _, flags := range [][]string{
			{"--cluster-keys", strings.Join(p.secrets.ClusterKeys, ",")},
			{"--nodes", p.node.URL},
			p.flags[:2], // --database-url
		} {
			gateway := startGateway(t, p.secrets, append([]string{"--redis-url", redis.URL()}, flags...)...)
			gateway.awaitNodes(1)
			_, metrics := gateway.try(http.MethodGet, "/metrics", "")
			if !strings.Contains(metrics, p.nodeID()) {
				t.Errorf("a gateway with %v does not have the node %s", flags, p.nodeID())
			}
			seen[p.nodeID()] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("two gateways of two clusters have the nodes %v", seen)
	}
}

// TestGateway_PoisonedRegistry_SendsNothingThere checks that a registry entry without a node's signature receives no
// call, credential or connection, even under the name of an existing node.
func TestGateway_PoisonedRegistry_SendsNothingThere(t *testing.T) {
	t.Parallel()
	server := redisServer(t)
	node := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", server.URL())
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		t.Errorf("the thief got %s %s %v", r.Method, r.URL, r.Header)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer thief.Close()
	gateway := startGateway(t, node.secrets, "--redis-url", server.URL())
	gateway.awaitNodes(1)
	keys, err := server.Do(t.Context(), "KEYS", "*{nodes}:word")
	if err != nil {
		t.Fatal(err)
	}
	forged := fmt.Sprintf(`{"id":"evil","url":%q,"version":"1","load":0}`, thief.URL)
	signed, _ := json.Marshal(map[string]any{"node": forged, "at": time.Now().UnixMilli(), "signatures": map[string][]byte{"00000000": make([]byte, 64)}})
	poison := func() {
		for _, key := range keys.([]any) { //nolint:forcetypeassert // of KEYS
			word := key.(string) //nolint:forcetypeassert // of KEYS
			for _, id := range []string{"evil", node.nodeID()} {
				for _, args := range [][]string{
					{"HSET", word, id, forged},
					{"HSET", word, id + "2", string(signed)},
					{"ZADD", strings.TrimSuffix(word, "word") + "until", "9999999999999", id, "9999999999999", id + "2"},
				} {
					if _, err := server.Do(t.Context(), args...); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":"x"}`, alice)
	refused := func() bool {
		_, metrics := node.try(http.MethodGet, "/metrics", "")
		return strings.Contains(metrics, `esh3ar_redis_refused_total{part="registry"}`) && !strings.Contains(metrics, `esh3ar_redis_refused_total{part="registry"} 0`) &&
			strings.Contains(gateway.node.Stderr.String(), "no node of this cluster signed")
	}
	eventually(t, func() bool {
		poison()
		for range 5 {
			if status, text := gateway.try(http.MethodPost, "/v1/messages", body); status != http.StatusAccepted {
				t.Fatalf("%d %s", status, text)
			}
			gateway.token(alice, "a")
		}
		return refused()
	}, func() string { return "nobody has refused the entries: " + gateway.node.Stderr.String() })
	if n := stolen.Load(); n != 0 {
		t.Errorf("the thief got %d calls", n)
	}
}

// TestGateway_ForeignConnection_ReachesItsNode checks that requests of a connection reach the node that holds it,
// through a gateway and through another node, and that an unknown node name is answered with a clear error.
func TestGateway_ForeignConnection_ReachesItsNode(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 2)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL, "--proxy-websockets")
	gateway.awaitNodes(2)
	for i, holder := range nodes {
		for _, way := range []*platform{gateway, nodes[1-i]} {
			token := holder.token(alice, "a")
			var negotiated struct {
				ConnectionToken string `json:"connectionToken"`
			}
			holder.call(http.MethodPost, "/online-mobile-user/negotiate?negotiateVersion=1", token, nil, &negotiated)
			if name, _, _ := strings.Cut(negotiated.ConnectionToken, "."); name != holder.nodeID() {
				t.Fatalf("the token %q does not name %s", negotiated.ConnectionToken, holder.nodeID())
			}
			if status, text := way.upgrade("/online-mobile-user?id="+negotiated.ConnectionToken, token); status != http.StatusSwitchingProtocols {
				t.Errorf("holder %d, gateway %t: %d %s", i, way == gateway, status, text)
			}
		}
	}
	token := nodes[0].token(alice, "a")
	status, text := gateway.upgrade("/online-mobile-user?id=nobody.x", token)
	if status != http.StatusNotFound || !strings.Contains(text, "connect again") {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := nodes[0].upgrade("/online-mobile-user?id=nobody.x", token); status != http.StatusNotFound {
		t.Errorf("%d", status)
	}
}

// upgrade requests a WebSocket and returns the answer.
func (p *platform) upgrade(path, token string) (status int, text string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.node.URL, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", path, token)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
