package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var gatewayLine = regexp.MustCompile(`Gateway on (http://\S+)`)

// throughGateway is a node in the role all, called through its gateway.
func (p *platform) throughGateway() *platform {
	p.t.Helper()
	var found []string
	eventually(p.t, func() bool { // what it prints is copied by a goroutine of ours
		found = gatewayLine.FindStringSubmatch(p.node.Stdout.String())
		return found != nil
	}, func() string { return "no gateway in what the node printed:\n" + p.node.Stdout.String() })
	through, node := *p, *p.node
	node.URL = found[1]
	through.node = &node
	return &through
}

// TestRoleAll_EmbeddedStore_ServesCallsAndPhones runs node and gateway in one process; calls and phones use the gateway.
func TestRoleAll_EmbeddedStore_ServesCallsAndPhones(t *testing.T) {
	t.Parallel()
	p := start(t, "--role", "all", "--gateway-listen", "127.0.0.1:0", "--gateway-drain-notice", "100ms", "--gateway-forward-admin")
	through := p.throughGateway()
	ph := newPhone(through, alice, "a", "each")
	m := through.send(alice, "hello", "normal")
	ph.await(1)
	through.awaitStatus(m.ID, "delivered")
	if err := p.node.Stop(); err != nil {
		t.Error(err)
	}
}

// TestAutoscale starts one process with the role all and offers more than the declared capacity. Nodes are added, share
// the load and are drained after the load has ended. No accepted message is lost, and the history states the reasons.
func TestAutoscale(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(busyPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--database-url", url, "--redis-url", redis.URL(), "--role", "all", "--gateway-listen", "127.0.0.1:0",
		"--gateway-drain-notice", "100ms", "--autoscale", "--scale-policy", policy, "--scale-every", "1s", "--capacity-rate", "5",
		"--", "--capacity-rate", "5")
	through := p.throughGateway()
	history := func() string {
		_, out, errs := esh3ar(t, "scaler", "--history", "--database-url", url)
		return out + errs
	}
	ctx, stop := context.WithCancel(t.Context())
	var taken []accepted
	done := make(chan struct{})
	defer func() { stop(); <-done }()
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			if a, ok := through.offer(alice, "x", fmt.Sprint("call-", n)); ok {
				taken = append(taken, a)
			}
		}
	}()
	eventually(t, func() bool { return strings.Contains(history(), "→ 2  rising") }, func() string { return "no second node:\n" + history() + p.node.Stderr.String() })
	eventually(t, func() bool { return len(nodeURLs(t, redis)) >= 2 }, func() string { return "not two nodes: " + p.node.Stderr.String() })
	stop()
	<-done
	eventually(t, func() bool { return strings.Contains(history(), "2 → 1  falling") }, func() string { return "the surplus stays:\n" + history() })
	eventually(t, func() bool { return len(nodeURLs(t, redis)) == 1 }, func() string { return "the surplus stays: " + p.node.Stderr.String() })
	for _, a := range taken {
		if got := p.get(a.ID); got.Status != "pending" && got.Status != "queued" {
			t.Errorf("%s is %q", a.ID, got.Status)
		}
	}
	if len(taken) < 10 {
		t.Errorf("only %d calls were taken", len(taken))
	}
	if err := p.node.Stop(); err != nil {
		t.Error(err)
	}
}
