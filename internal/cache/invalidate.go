package cache

import (
	"context"
	"slices"
)

// Invalidate invalidates the entries of keys: on this node at once, and on all nodes when it returns. If the second level cannot be
// reached in time, the rest happens as soon as it can. Call it after the change at the source.
func (c *Cache[K, V]) Invalidate(ctx context.Context, keys ...K) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = c.opts.Keys.Name(key)
	}
	c.invalidate(ctx, invalidation{Keys: names})
}

// InvalidateTags does the same for all entries with one of the tags. It walks over the first level of each node: about 10 ms for
// 100,000 entries.
func (c *Cache[K, V]) InvalidateTags(ctx context.Context, tags ...string) {
	c.invalidate(ctx, invalidation{Tags: tags})
}

// InvalidateMatching does the same for all keys whose text matches one of the patterns, in which * matches any text and ? any one
// character. The second level cannot be searched, so all of its values of this cache become invalid.
func (c *Cache[K, V]) InvalidateMatching(ctx context.Context, patterns ...string) {
	c.invalidate(ctx, invalidation{Patterns: patterns})
}

func (c *Cache[K, V]) invalidate(ctx context.Context, n invalidation) {
	if n.size() == 0 {
		return
	}
	n.bound()
	if c.opts.Shared == nil {
		c.apply(n)
		return
	}
	n.Cache = c.opts.Name
	c.opts.Shared.invalidate(ctx, n, c)
}

// apply applies an invalidation to the first level. The tags of an in-flight call are not known yet, so an invalidation by tag
// removes all in-flight calls from the map.
func (c *Cache[K, V]) apply(n invalidation) {
	c.counts.invalidations.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epoch++
	for _, name := range n.Keys {
		if key, err := c.opts.Keys.Parse(name); err == nil {
			delete(c.mu.inflight, key) // later callers load again; callers that wait came before the invalidation
			c.first.remove(key)
		}
	}
	if len(n.Tags) > 0 {
		clear(c.mu.inflight)
	}
	if len(n.Tags)+len(n.Patterns) > 0 {
		c.applyToAllLocked(n)
	}
}

func (c *Cache[K, V]) applyToAllLocked(n invalidation) {
	named := func(key K) bool {
		name := c.opts.Keys.Name(key)
		return slices.ContainsFunc(n.Patterns, func(glob string) bool { return matchPattern(glob, name) })
	}
	for key := range c.mu.inflight {
		if len(n.Patterns) > 0 && named(key) {
			delete(c.mu.inflight, key)
		}
	}
	c.first.removeIf(func(key K, it *item[V]) bool {
		tagged := slices.ContainsFunc(it.Tags, func(tag string) bool { return slices.Contains(n.Tags, tag) })
		return tagged || len(n.Patterns) > 0 && named(key)
	})
}

// dropAll drops the first level because invalidations may have been missed.
func (c *Cache[K, V]) dropAll() {
	c.counts.drops.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.epoch++
	clear(c.mu.inflight)
	if c.opts.StaleIfError > 0 {
		c.first.expireAll()
		return
	}
	c.first.clear()
}
