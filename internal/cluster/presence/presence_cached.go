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
	// cacheTTL is how long it is remembered where a recipient is. A phone that moves meanwhile costs its hint one more
	// step: the node it left sends it on. A further device that comes meanwhile waits for the sweep at worst.
	cacheTTL = time.Second
	// cacheEntries bounds the recipients that are remembered, about 150 bytes each.
	cacheEntries = 1 << 16
)

// CachedPresence remembers for a second where a recipient was found. That somebody was not found it never remembers: then
// nobody would be told of a message, and the phone that has just connected is the one that waits for it.
type CachedPresence struct {
	Presence
	cache *cache.Cache[esh3ar.Recipient, []membership.NodeID]
}

// NewCachedPresence remembers what p answers.
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

// Nodes realises Presence. The lists are shared: nobody may change them.
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

// Assert realises Presence. What this node says itself it sees at once.
func (c *CachedPresence) Assert(ctx context.Context, rs []esh3ar.Recipient) error {
	defer c.cache.Invalidate(ctx, rs...)
	return c.Presence.Assert(ctx, rs)
}

// Retract realises Presence.
func (c *CachedPresence) Retract(ctx context.Context, rs []esh3ar.Recipient) error {
	defer c.cache.Invalidate(ctx, rs...)
	return c.Presence.Retract(ctx, rs)
}

// Stats counts what was remembered.
func (c *CachedPresence) Stats() cache.Stats { return c.cache.Stats() }
