package presence

import (
	"context"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

const (
	// cacheTTL is how long the nodes of a recipient are cached. If a phone moves in that time its hint takes one more hop, because
	// the node that it left forwards it. If a second device connects in that time, its messages wait for the sweep at worst.
	cacheTTL = time.Second
	// cacheEntries bounds the number of cached recipients, about 150 bytes each.
	cacheEntries = 1 << 16
)

// CachedPresence caches for a second on which nodes a recipient was found. It never caches that a recipient was not found: a phone
// that has just connected would then get no hints.
type CachedPresence struct {
	Presence
	cache *cache.Cache[esh3ar.Recipient, []membership.NodeID]
}

// NewCachedPresence returns a cache in front of p.
func NewCachedPresence(p Presence) *CachedPresence {
	c := &CachedPresence{Presence: p}
	c.cache = cache.New(cache.Options[esh3ar.Recipient, []membership.NodeID]{
		Name: "presence", Load: c.load, Keys: cache.KeyCodec[esh3ar.Recipient]{Name: formatRecipient, Parse: parseRecipient},
		Entries: cacheEntries, TTL: cacheTTL,
	})
	return c
}

func formatRecipient(r esh3ar.Recipient) string { return strconv.FormatUint(uint64(r), 10) }

func parseRecipient(name string) (esh3ar.Recipient, error) {
	n, err := strconv.ParseUint(name, 10, 64)
	return esh3ar.Recipient(n), err
}

func (c *CachedPresence) load(ctx context.Context, rs []esh3ar.Recipient) ([]cache.Entry[[]membership.NodeID], error) {
	nodes, err := c.Presence.Nodes(ctx, rs)
	if err == nil && len(nodes) != len(rs) {
		err = errWrongCount
	}
	if err != nil {
		return nil, err
	}
	entries := make([]cache.Entry[[]membership.NodeID], len(rs))
	for i := range nodes {
		entries[i] = cache.Entry[[]membership.NodeID]{Value: nodes[i], Found: len(nodes[i]) > 0}
	}
	return entries, nil
}

// Nodes implements Presence. Callers share the lists and must not change them.
func (c *CachedPresence) Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	entries, err := c.cache.GetMany(ctx, rs)
	if err != nil {
		return nil, err
	}
	nodes := make([][]membership.NodeID, len(rs))
	for i := range entries {
		nodes[i] = entries[i].Value
	}
	return nodes, nil
}

// Assert implements Presence. It invalidates the cached entries, so this node sees its own changes at once.
func (c *CachedPresence) Assert(ctx context.Context, rs []esh3ar.Recipient) error {
	defer c.cache.Invalidate(ctx, rs...)
	return c.Presence.Assert(ctx, rs)
}

// Retract implements Presence.
func (c *CachedPresence) Retract(ctx context.Context, rs []esh3ar.Recipient) error {
	defer c.cache.Invalidate(ctx, rs...)
	return c.Presence.Retract(ctx, rs)
}

// Stats returns the counters of the cache.
func (c *CachedPresence) Stats() cache.Stats { return c.cache.Stats() }
