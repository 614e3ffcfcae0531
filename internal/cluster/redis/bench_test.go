package redis_test

import (
	"os/exec"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// BenchmarkPresence looks up a hundred recipients at a time, as a batch of messages does, and reports the time per recipient, from
// Redis and from the cache.
func BenchmarkPresence(b *testing.B) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		b.Fatal("redis-server is not installed; run `make deps`")
	}
	server, err := redisproc.StartSingle(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer server.Kill()
	client, err := redis.Open(b.Context(), redis.Options{URL: server.URL(), Node: "a", Keys: ring, Prefix: "b:"})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	rs := someRecipients(100)
	asked := client.Presence()
	if err := asked.Assert(b.Context(), rs); err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name     string
		presence presence.Presence
	}{{"asked", asked}, {"remembered", presence.NewCachedPresence(asked)}} {
		b.Run(way.name, func(b *testing.B) { lookUp(b, way.presence, rs) })
	}
}

func lookUp(b *testing.B, p presence.Presence, rs []esh3ar.Recipient) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Nodes(b.Context(), rs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rs)), "ns/recipient")
}
