package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2/stats"
)

// Cache keeps what a loader found, on two levels.
type Cache[K comparable, V any] struct {
	opts   Options[K, V]
	first  firstLevel[K, V]
	second *namespace[V] // nil: there is none
	counts counts
	mu     struct {
		sync.Mutex                   // also held by who changes the first level: an item and the flight that brings it change together
		inflight   map[K]*call[K, V] // one for each key somebody waits for
		epoch      uint64            // counts invalidations
	}
}

// counts are the sources of Stats.
type counts struct {
	first         *stats.Counter // striped: every hit is counted
	second        hits
	loads         latency
	loadErrors    atomic.Uint64
	invalidations atomic.Uint64
	drops         atomic.Uint64
}

// hits are asked keys and how it went.
type hits struct{ hits, misses atomic.Uint64 }

// New makes a cache. It panics where an option is missing, or another cache of the same Shared has its name.
func New[K comparable, V any](o Options[K, V]) *Cache[K, V] {
	o.check()
	o.defaults()
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

// Get gives the value of a key; found is false where there is none.
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

// GetMany gives the entries of several keys, in the order asked. What is missing is loaded by one call. With an error
// there is nothing else: a key could neither be loaded nor answered with what still stands.
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

// lookUp gives the item that answers for a key now; nil: somebody has to ask.
func (c *Cache[K, V]) lookUp(key K, now time.Time) *item[V] {
	it := c.first.get(key)
	if it == nil || !it.fresh(now, c.subscriptionHealthy()) || c.opts.RefreshAhead && it.startRefresh(now) {
		return nil
	}
	return it
}

// subscriptionHealthy tells whether every invalidation is heard.
func (c *Cache[K, V]) subscriptionHealthy() bool {
	return c.opts.Shared == nil || c.opts.Shared.Subscribed()
}

// Mark is a moment: what was asked of the source after it may be kept, if nothing was invalidated since.
type Mark struct {
	epoch       uint64
	askedAt     time.Time
	generations generationSet
}

// Mark notes the moment before the source is asked for what SetMany is to keep.
func (c *Cache[K, V]) Mark(ctx context.Context) Mark {
	c.mu.Lock()
	m := Mark{epoch: c.mu.epoch, askedAt: c.opts.Now()}
	c.mu.Unlock()
	if c.second != nil {
		_, m.generations = c.second.lookUp(ctx, nil, m.askedAt)
	}
	return m
}

// SetMany keeps what the caller got from the source after the mark, a listing for example. If anything of this cache was
// invalidated since, it keeps nothing: nobody knows which of the two was first.
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

// itemOf makes an item of what the source said after asked.
func (c *Cache[K, V]) itemOf(e Entry[V], asked time.Time) *item[V] {
	ttl := c.opts.TTL
	if !e.Found {
		ttl = c.opts.MissTTL
	}
	return &item[V]{Entry: e, askedAt: asked, validFrom: asked, validUntil: asked.Add(jittered(ttl, c.opts.Jitter))}
}

// putLocked keeps an item, or forgets the key where nothing is to be kept.
func (c *Cache[K, V]) putLocked(key K, it *item[V]) {
	if it.validUntil.After(it.askedAt) {
		c.first.put(key, it)
		return
	}
	c.first.remove(key)
}

// Stats reads the counts.
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
