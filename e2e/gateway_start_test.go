package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestGateway_RedisAway_StartsAndRecovers starts a gateway without Redis. It reports the outage in one line and refuses
// calls with Retry-After until Redis lists nodes; then the same process accepts them. A gateway with --nodes accepts
// calls at once.
func TestGateway_RedisAway_StartsAndRecovers(t *testing.T) {
	t.Parallel()
	redis := redisServer(t)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	first := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redis.URL())
	blind := startGatewayUnready(t, first.secrets, "--redis-url", redis.URL())
	told := startGateway(t, first.secrets, "--redis-url", redis.URL(), "--nodes", first.node.URL)
	body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":"x"}`, alice)
	for _, path := range []string{"/v1/messages", "/online-mobile-user/negotiate?negotiateVersion=1"} {
		status, header, text := blind.ask(http.MethodPost, path, body, nil)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") != "1" || !strings.Contains(text, "nothing was stored") {
			t.Errorf("%s without a list of nodes: %d %v %s", path, status, header, text)
		}
	}
	if status, text := told.try(http.MethodPost, "/v1/messages", body); status != http.StatusAccepted {
		t.Errorf("with a list of nodes: %d %s", status, text)
	}
	for p, line := range map[*platform]string{blind: "the registry lists no nodes yet; calls are answered 503 until it does", told: "the registry does not answer"} {
		eventually(t, func() bool { return strings.Contains(p.node.Stderr.String(), line) }, func() string { return p.node.Stderr.String() })
		if warnings := strings.Count(p.node.Stderr.String(), `level=WARN msg="the registry`); warnings != 1 {
			t.Errorf("%d lines say that Redis is away:\n%s", warnings, p.node.Stderr)
		}
	}
	second := first.join()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := redis.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*platform{blind, told} {
		p.awaitNodes(2)
		if status, text := p.try(http.MethodPost, "/v1/messages", body); status != http.StatusAccepted {
			t.Errorf("Redis is back: %d %s", status, text)
		}
		for _, node := range []*platform{first, second} {
			p.awaitMetric(fmt.Sprintf(`esh3ar_gateway_node_state{node=%q,state="up"}`, node.nodeID()), 1)
		}
	}
}

// TestRoleAll_RedisAway_ServesItsNode checks that the gateway always knows the node in its own process.
func TestRoleAll_RedisAway_ServesItsNode(t *testing.T) {
	t.Parallel()
	redis := redisServer(t)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redis.URL(),
		"--role", "all", "--gateway-listen", "127.0.0.1:0", "--gateway-drain-notice", "100ms", "--gateway-forward-admin")
	eventually(t, func() bool { return gatewayLine.MatchString(p.node.Stdout.String()) }, func() string { return "it does not say where its gateway is" })
	through := p.throughGateway()
	through.awaitNodes(1)
	ph := newPhone(through, alice, "a", "each")
	m := through.send(alice, "hello", "normal")
	ph.await(1)
	through.awaitStatus(m.ID, "delivered")
}

// TestNodes_SameName_AreReported checks that each node reports the conflict: callers and phones can reach only one of
// them.
func TestNodes_SameName_AreReported(t *testing.T) {
	t.Parallel()
	first := start(t, "--database-url", database(t).URL("postgres"), "--redis-url", redisServer(t).URL(), "--node-id", "a")
	second := first.join("--node-id", "a")
	for _, p := range []*platform{first, second} {
		other := map[*platform]*platform{first: second, second: first}[p]
		eventually(t, func() bool {
			said := p.node.Stderr.String()
			return strings.Contains(said, "give one of them another --node-id") && strings.Contains(said, "other="+other.node.URL)
		}, func() string { return "no word of the other: " + p.node.Stderr.String() })
	}
}
