package node

import (
	"context"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// openQuotas creates the limiters that enforce the plans of businesses, across all nodes if they share a Redis.
func (n *node) openQuotas() *ratelimit.Limiters {
	o := ratelimit.Options{Plan: n.plans.Lookup, Usage: n.store, OnError: n.logFailures("quota")}
	if n.cluster != nil {
		o.Shared, o.Nodes = sharedQuotas{n.cluster.redis.Quotas()}, n.countLiveNodes()
	}
	return ratelimit.NewLimiters(o)
}

// countLiveNodes returns a function that counts the nodes, including this one; nil if the node runs alone.
func (n *node) countLiveNodes() func() int {
	if n.cluster == nil {
		return nil
	}
	return func() int { return max(1, len(n.cluster.nodes())) }
}

// knownKey looks up an idempotency key in this node's spill and in the store.
func (n *node) knownKey(ctx context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (esh3ar.Answer, bool, error) {
	return n.intake.KnownKey(ctx, n.store, business, key)
}

// sharedQuotas adapts the token buckets on Redis to package ratelimit.
type sharedQuotas struct{ *redis.Quotas }

// Take implements ratelimit.Shared.
func (s sharedQuotas) Take(ctx context.Context, key string, rate float64, burst, n int) (flow.Decision, error) {
	t, err := s.Quotas.Take(ctx, key, redis.Bucket{Rate: rate, Burst: burst}, n)
	return flow.Decision{Allowed: t.Allowed, Remaining: t.Remaining, RetryAfter: t.RetryAfter, Reset: t.Reset}, err
}
