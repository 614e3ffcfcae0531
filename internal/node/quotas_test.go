package node

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// TestQuotas_ThreeNodes_ShareRate: three nodes with a real Redis accept exactly the rate of the plan and ask Redis for few of the
// calls. When Redis is gone, each node accepts its share of the rate.
func TestQuotas_ThreeNodes_ShareRate(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a Redis")
	}
	server, err := redisproc.StartSingle(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	store, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	plan := &esh3ar.Plan{Name: "p", Rate: 500, Burst: 3000}
	nodes := make([]*sharingNode, 3)
	for i := range nodes {
		nodes[i] = newSharingNode(t, server.URL(), plan, store)
	}
	business, began := esh3ar.NewBusinessID(), time.Now()
	through := flood(t, nodes, business, 2500)
	took := time.Since(began).Seconds()
	most := float64(plan.Burst) + plan.Rate*took + 1
	if float64(through) > most || through < plan.Burst*9/10 {
		t.Errorf("%d came through, at most %g are allowed", through, most)
	}
	asked := uint64(0)
	for _, n := range nodes {
		for _, op := range n.redis.Stats().Ops {
			if op.Name == "quota_take" {
				asked += op.Calls
			}
		}
	}
	if asked == 0 || float64(asked) > 7500/10+3*20*took { // each node asks again after a "no" of 50 ms
		t.Errorf("Redis was asked %d times for 7500 calls in %.1f s", asked, took)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	other, began := esh3ar.NewBusinessID(), time.Now()
	through = flood(t, nodes[:1], other, 1500)
	if share := 1000 + 500.0/3*time.Since(began).Seconds() + 1; float64(through) > share || through < 900 {
		t.Errorf("without Redis %d came through on one of three nodes, its share is %g", through, share)
	}
}

type sharingNode struct {
	redis *redis.Client
	book  *ratelimit.Limiters
}

func newSharingNode(t *testing.T, url string, plan *esh3ar.Plan, store *embedded.Store) *sharingNode {
	client, err := redis.Open(t.Context(), redis.Options{URL: url, Node: "n", Keys: keyring.Generate(time.Now)})
	if err != nil {
		t.Fatal(err)
	}
	n := &sharingNode{client, ratelimit.NewLimiters(ratelimit.Options{
		Plan: func(string) *esh3ar.Plan { return plan }, Usage: store, Shared: sharedQuotas{client.Quotas()}, Nodes: func() int { return 3 },
		Timeout: time.Minute, // a busy machine is no Redis that is away
	})}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = n.book.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		client.Close()
	})
	return n
}

// flood makes so many calls on each node, some at once.
func flood(t *testing.T, nodes []*sharingNode, business esh3ar.BusinessID, each int) int {
	var through atomic.Int64
	var callers sync.WaitGroup
	for _, n := range nodes {
		left := new(atomic.Int64)
		left.Store(int64(each))
		for range 8 {
			callers.Go(func() {
				for left.Add(-1) >= 0 {
					a := n.book.For(business, "")
					if err := a.Enter(); err != nil {
						t.Error(err)
						return
					}
					_, err := a.Take(t.Context(), time.Now(), 1)
					if err == nil {
						through.Add(1)
						a.Leave(1, 1)
						continue
					}
					a.Leave(0, 0)
					if esh3ar.CodeOf(err) != esh3ar.RateLimited {
						t.Error(err)
					}
				}
			})
		}
	}
	callers.Wait()
	return int(through.Load())
}
