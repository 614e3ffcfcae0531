package node

import (
	"context"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// openQuotas makes the book that holds businesses to their plans, over all nodes where they share a Redis.
func (n *node) openQuotas() *ratelimit.Limiters {
	o := ratelimit.Options{Plan: n.plans.Of, Usage: n.store, OnError: n.debugged("quota")}
	if n.cluster != nil {
		o.Shared, o.Nodes = sharedQuotas{n.cluster.redis.Quotas()}, n.livingNodes()
	}
	return ratelimit.NewLimiters(o)
}

// livingNodes returns what counts the nodes that live, this one too; nil: this is the only one.
func (n *node) livingNodes() func() int {
	if n.cluster == nil {
		return nil
	}
	return func() int { return max(1, len(n.cluster.nodes())) }
}

// knownKey looks an idempotency key up, in this node's spill and in the store.
func (n *node) knownKey(ctx context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (esh3ar.Answer, bool, error) {
	return n.intake.KnownKey(ctx, n.store, business, key)
}

// sharedQuotas are buckets on Redis.
type sharedQuotas struct{ *redis.Quotas }

// Take realises quota.Shared.
func (s sharedQuotas) Take(ctx context.Context, key string, rate float64, burst, n int) (flow.Decision, error) {
	t, err := s.Quotas.Take(ctx, key, redis.Bucket{Rate: rate, Burst: burst}, n)
	return flow.Decision{Allowed: t.Allowed, Remaining: t.Remaining, RetryAfter: t.RetryAfter, Reset: t.Reset}, err
}
