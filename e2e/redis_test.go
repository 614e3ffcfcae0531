package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// pair is a business's node and a phone's, with everything between them real.
type pair struct {
	t       *testing.T
	a, b    *platform
	device  *phone
	answers []accepted
}

func newPair(t *testing.T, databaseURL, redisURL string) *pair {
	t.Helper()
	a := start(t, "--database-url", databaseURL, "--redis-url", redisURL)
	b := a.join()
	p := &pair{t: t, a: a, b: b, device: newPhone(b, alice, "a", "each")}
	eventually(t, func() bool { return b.metric(`esh3ar_route_presence_total{outcome="asserted"}`) >= 1 },
		func() string { return "the phone is not known to be there: " + b.node.Stderr.String() })
	return p
}

// send has the business send n messages, each taken, whatever else happens.
func (p *pair) send(n int) {
	p.t.Helper()
	for range n {
		a, ok := p.a.offer(alice, fmt.Sprint(len(p.answers)), fmt.Sprint("key-", len(p.answers)))
		if !ok {
			p.t.Fatal("a call was not taken")
		}
		p.answers = append(p.answers, a)
	}
}

// arrived waits until the phone has everything, and checks the order.
func (p *pair) arrived() {
	p.t.Helper()
	var want []string
	for _, a := range p.answers {
		want = append(want, a.ID)
	}
	awaitAll(p.device, want)
	if got := firsts(ids(p.device.got)); !slices.Equal(got, want) {
		p.t.Errorf("the order of %d messages is not that of the answers", len(got))
	}
}

// hinted waits until messages go from node to node by hints again, and not by the sweep.
func (p *pair) hinted() {
	p.t.Helper()
	eventually(p.t, func() bool {
		before := p.b.hints("received")
		p.send(1)
		p.arrived()
		return p.b.hints("received") > before
	}, func() string { return "no hint comes any more: " + p.a.node.Stderr.String() })
}

// TestRedisAway kills, pauses and flushes Redis while two nodes exchange messages: every call is accepted, every message
// arrives in order, and hints work again after Redis has recovered.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]func(*testing.T) (url string, servers []*redisproc.Server, wipe func(context.Context) error, whole func(context.Context) error){
		"Redis Cluster": func(t *testing.T) (string, []*redisproc.Server, func(context.Context) error, func(context.Context) error) {
			t.Helper()
			cluster := redisCluster(t)
			return cluster.URL(), cluster.Servers(), cluster.Flush, cluster.Await
		},
		"one Redis": func(t *testing.T) (string, []*redisproc.Server, func(context.Context) error, func(context.Context) error) {
			t.Helper()
			server := redisServer(t)
			return server.URL(), []*redisproc.Server{server}, server.Flush, func(context.Context) error { return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, list, wipe, whole := servers(t)
			p := newPair(t, database(t).URL("postgres"), url)
			all := func(what string, do func(*redisproc.Server) error) {
				t.Helper()
				for _, server := range list {
					if err := do(server); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
			}
			patiently := func(do func(context.Context) error) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := do(ctx); err != nil {
					t.Fatal(err)
				}
			}
			p.send(5)
			patiently(wipe) // presence is lost and must be published again
			p.send(20)
			p.arrived()
			p.hinted()
			all("pause", (*redisproc.Server).Pause)
			p.send(20)
			p.arrived()
			all("resume", (*redisproc.Server).Resume)
			p.hinted()
			all("kill", (*redisproc.Server).Kill)
			p.send(20)
			p.arrived()
			eventually(t, func() bool { return strings.Contains(p.a.node.Stderr.String(), "Redis does not answer") },
				func() string { return "no line for the operator:\n" + p.a.node.Stderr.String() })
			for _, server := range list {
				patiently(server.Restart)
			}
			patiently(whole)
			p.hinted()
			for _, one := range p.answers {
				if one.Durability != "stored" {
					t.Errorf("%s was %s: Redis is not the database", one.ID, one.Durability)
				}
			}
		})
	}
}

// TestSpill_PostgresAndRedisAway_DeliversAfterwards stops PostgreSQL and Redis: calls are spilled to the node's disk. After the recovery the messages arrive
// in order at the phone of another node.
func TestSpill_PostgresAndRedisAway_DeliversAfterwards(t *testing.T) {
	t.Parallel()
	server, shared := database(t), redisServer(t)
	p := newPair(t, server.URL("postgres"), shared.URL())
	p.send(3)
	p.arrived()
	for _, kill := range []func() error{server.Kill, shared.Kill} {
		if err := kill(); err != nil {
			t.Fatal(err)
		}
	}
	p.send(30)
	if last := p.answers[len(p.answers)-1]; last.Durability != "spilled" {
		t.Errorf("without a database a message is %s", last.Durability)
	}
	restart(t, shared)
	p.send(3)
	restart(t, server)
	p.a.drained()
	p.arrived()
	p.hinted()
}
