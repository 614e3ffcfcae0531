package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2/stats"
)

// Cache caches the results of a loader on two levels.
type Cache[K comparable, V any] struct {
	opts   Options[K, V]
	first  firstLevel[K, V]
	second *namespace[V] // nil if there is no second level
	counts counts
	mu     struct {
		sync.Mutex                   // also held for changes of the first level, so that an entry and its in-flight call change together
		inflight   map[K]*call[K, V] // one per key that callers wait for
		epoch      uint64            // number of invalidations so far
	}
}

// counts holds the counters behind Stats.
type counts struct {
	first         *stats.Counter // striped, because every hit is counted
	second        hits
	loads         latency
	loadErrors    atomic.Uint64
	invalidations atomic.Uint64
	drops         atomic.Uint64
}

// hits counts lookups by their result.
type hits struct{ hits, misses atomic.Uint64 }

// New returns a cache. It panics if a required option is missing or another cache of the same Shared has the same name.
func New[K comparable, V any](o Options[K, V]) *Cache[K, V] {
	o.check()
	o = o.withDefaults()
	c := &Cache[K, V]{opts: o, counts: counts{first: stats.NewCounter()}}
	c.first = newFirstLevel[K, V](o.Entries, c.counts.first)
	c.mu.inflight = map[K]*call[K, V]{}
	if o.Second != nil {
		c.second = &namespace[V]{shared: o.Shared, name: o.Name, second: *o.Second, jitter: max(o.Jitter, 0), hits: &c.counts.second}
	}
	if o.Shared != nil {
		o.Shared.register(o.Name, member{cacheHandle: c, generations: o.generations()})
	}
	return c
}

// Get returns the value of a key. found is false if the source has nothing under the key.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (v V, found bool, err error) {
	if it := c.lookUp(key, c.opts.Now()); it != nil {
		c.counts.first.RecordHits(1)
		return it.Value, it.Found, nil
	}
	c.counts.first.RecordMisses(1)
	entries, err := c.fetch(ctx, []K{key})
	if err != nil {
		return v, false, err
	}
	return entries[0].Value, entries[0].Found, nil
}

// GetMany returns the entries of several keys in the order of keys. All missing keys are loaded in one call. If a key can be
// neither loaded nor answered with a value that is still usable, it returns only the error.
func (c *Cache[K, V]) GetMany(ctx context.Context, keys []K) ([]Entry[V], error) {
	entries, now := make([]Entry[V], len(keys)), c.opts.Now()
	var missing []K
	var places []int
	for i, key := range keys {
		if it := c.lookUp(key, now); it != nil {
			entries[i] = it.Entry
			continue
		}
		missing, places = append(missing, key), append(places, i)
	}
	c.counts.first.RecordHits(len(keys) - len(missing))
	if len(missing) == 0 {
		return entries, nil
	}
	c.counts.first.RecordMisses(len(missing))
	fetched, err := c.fetch(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		entries[place] = fetched[i]
	}
	return entries, nil
}

// lookUp returns the first-level item that answers for a key now, or nil if the key must be fetched.
func (c *Cache[K, V]) lookUp(key K, now time.Time) *item[V] {
	it := c.first.get(key)
	if it == nil || !it.fresh(now, c.subscriptionHealthy()) || c.opts.RefreshAhead && it.startRefresh(now) {
		return nil
	}
	return it
}

// subscriptionHealthy reports whether every invalidation of other nodes is received.
func (c *Cache[K, V]) subscriptionHealthy() bool {
	return c.opts.Shared == nil || c.opts.Shared.Subscribed()
}

// Mark identifies the moment before the caller reads the source for SetMany.
type Mark struct {
	epoch       uint64
	askedAt     time.Time
	generations generationSet
}

// Mark returns a mark of the current moment. Call it before reading the source.
func (c *Cache[K, V]) Mark(ctx context.Context) Mark {
	c.mu.Lock()
	m := Mark{epoch: c.mu.epoch, askedAt: c.opts.Now()}
	c.mu.Unlock()
	if c.second != nil {
		_, m.generations = c.second.lookUp(ctx, nil, m.askedAt)
	}
	return m
}

// SetMany caches entries that the caller read from the source after Mark, for example with a listing. If anything in this cache was
// invalidated since the mark, nothing is cached, because the entries may be older than the invalidation.
func (c *Cache[K, V]) SetMany(ctx context.Context, m Mark, keys []K, entries []Entry[V]) {
	if !c.putIfUnchanged(m, keys, entries) || c.second == nil {
		return
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = c.opts.Keys.Name(key)
	}
	c.second.store(ctx, m.generations, names, entries, m.askedAt, c.opts.Now())
}

func (c *Cache[K, V]) putIfUnchanged(m Mark, keys []K, entries []Entry[V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.epoch != m.epoch {
		return false
	}
	for i, key := range keys {
		c.putLocked(key, c.itemOf(entries[i], m.askedAt))
	}
	return true
}

// itemOf returns a first-level item for an entry that was read from the source after askedAt.
func (c *Cache[K, V]) itemOf(e Entry[V], asked time.Time) *item[V] {
	ttl := c.opts.TTL
	if !e.Found {
		ttl = c.opts.MissTTL
	}
	return &item[V]{Entry: e, askedAt: asked, validFrom: asked, validUntil: asked.Add(jittered(ttl, c.opts.Jitter))}
}

// putLocked stores an item, or removes the key if the item has no validity.
func (c *Cache[K, V]) putLocked(key K, it *item[V]) {
	if it.validUntil.After(it.askedAt) {
		c.first.put(key, it)
		return
	}
	c.first.remove(key)
}

// Stats returns the counters.
func (c *Cache[K, V]) Stats() Stats {
	first, loads := c.counts.first.Snapshot(), c.counts.loads.read()
	return Stats{
		Name: c.opts.Name, Size: c.first.size(),
		Hits: first.Hits, Misses: first.Misses, Evictions: first.Evictions,
		SecondHits: c.counts.second.hits.Load(), SecondMisses: c.counts.second.misses.Load(),
		Loads: loads.Count(), LoadTime: loads, LoadErrors: c.counts.loadErrors.Load(),
		Invalidations: c.counts.invalidations.Load(), Drops: c.counts.drops.Load(),
	}
}
