package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// call is one question that everybody who needs its answer waits for.
type call[K comparable, V any] struct {
	key   K
	batch *batch[K, V]
	done  chan struct{}
	item  *item[V] // both written before done is closed
	err   error
}

// batch is one caller's round of asking: the flights that no other caller had begun.
type batch[K comparable, V any] struct {
	calls   []*call[K, V]
	askedAt time.Time
}

var (
	errNoAnswer   = errors.New("the loader gave no answer")
	errWrongCount = errors.New("the loader answered for another number of keys")
)

// fetch asks for keys that the first level cannot answer. Where it is not to be kept that there is nothing, nobody takes
// another's word for it either: it may have been true before his own question only. He asks once more, and the flight he
// meets then has begun after he came.
func (c *Cache[K, V]) fetch(ctx context.Context, keys []K) ([]Entry[V], error) {
	entries, places := make([]Entry[V], len(keys)), make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	for late := false; len(places) > 0; late = true {
		flights, own := c.join(keys, places)
		c.run(ctx, own)
		var again []int
		for i, place := range places {
			it, err := c.wait(ctx, flights[i])
			if err != nil {
				return nil, fmt.Errorf("cache %s: %w", c.opts.Name, err)
			}
			entries[place] = it.Entry
			if !late && !it.Found && c.opts.MissTTL <= 0 && flights[i].batch != own {
				again = append(again, place)
			}
		}
		places = again
	}
	return entries, nil
}

// join finds the flight of each key, and begins those that are missing: these are the caller's to fly.
func (c *Cache[K, V]) join(keys []K, places []int) (all []*call[K, V], own *batch[K, V]) {
	all, own = make([]*call[K, V], len(places)), &batch[K, V]{}
	c.mu.Lock()
	defer c.mu.Unlock()
	own.askedAt = c.opts.Now()
	for i, place := range places {
		f, begun := c.mu.inflight[keys[place]]
		if !begun {
			f = &call[K, V]{key: keys[place], batch: own, done: make(chan struct{}), err: errNoAnswer}
			c.mu.inflight[f.key] = f // bounded by the keys that callers wait for
			own.calls = append(own.calls, f)
		}
		all[i] = f
	}
	return all, own
}

// wait is over when the flight has landed. A flight that failed leaves what was known before, while that stands.
func (c *Cache[K, V]) wait(ctx context.Context, f *call[K, V]) (*item[V], error) {
	select {
	case <-f.done: // also for who flew it, and has left meanwhile
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the answer to another's question: %w", context.Cause(ctx))
		}
	}
	if f.err == nil {
		return f.item, nil
	}
	now := c.opts.Now()
	if old := c.first.get(f.key); old != nil && (old.fresh(now, c.subscriptionHealthy()) || old.usableOnError(now, c.opts.StaleIfError)) {
		return old, nil
	}
	return nil, f.err
}

// run brings the answers. The second level learns of them when nobody waits any more but who flew.
func (c *Cache[K, V]) run(ctx context.Context, own *batch[K, V]) {
	if len(own.calls) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Timeout)
	defer cancel()
	loaded, before := c.resolve(ctx, own)
	if c.second == nil || len(loaded) == 0 {
		return
	}
	names, entries := make([]string, len(loaded)), make([]Entry[V], len(loaded))
	for i, f := range loaded {
		names[i], entries[i] = c.opts.Keys.Name(f.key), f.item.Entry
	}
	c.second.store(ctx, before, names, entries, own.askedAt, c.opts.Now())
}

// resolve asks the second level, and the loader for what it lacks, and lands. It returns what was loaded, and how the
// generations were before.
func (c *Cache[K, V]) resolve(ctx context.Context, own *batch[K, V]) (loaded []*call[K, V], before generationSet) {
	defer c.complete(own) // also when the loader panics
	missing := own.calls
	if c.second != nil {
		missing, before = c.lookUpSecond(ctx, own)
	}
	if len(missing) == 0 {
		return nil, before
	}
	keys := make([]K, len(missing))
	for i, f := range missing {
		keys[i] = f.key
	}
	entries, err := c.load(ctx, keys)
	for i, f := range missing {
		if f.err = err; err == nil {
			f.item = c.itemOf(entries[i], own.askedAt)
		}
	}
	if err != nil {
		return nil, before
	}
	return missing, before
}

// lookUpSecond answers flights from the second level, and gives those that it cannot answer.
func (c *Cache[K, V]) lookUpSecond(ctx context.Context, own *batch[K, V]) (missing []*call[K, V], before generationSet) {
	names := make([]string, len(own.calls))
	for i, f := range own.calls {
		names[i] = c.opts.Keys.Name(f.key)
	}
	found, before := c.second.lookUp(ctx, names, own.askedAt)
	for i, f := range own.calls {
		if found == nil || found[i] == nil {
			missing = append(missing, f)
			continue
		}
		f.item, f.err = c.itemOf(found[i].Entry, own.askedAt), nil
		if found[i].expiresAt.Before(f.item.validUntil) {
			f.item.validUntil = found[i].expiresAt
		}
	}
	return missing, before
}

// load calls the loader once.
func (c *Cache[K, V]) load(ctx context.Context, keys []K) ([]Entry[V], error) {
	begun := time.Now()
	entries, err := c.opts.Load(ctx, keys)
	if err == nil && len(entries) != len(keys) {
		err = errWrongCount
	}
	c.counts.loads.add(time.Since(begun))
	if err != nil {
		c.counts.loadErrors.Add(1)
	}
	return entries, err
}

// staleIfErrorLocked lets what was known of a key stand for a while where asking failed, so that not everybody waits for a source
// that is silent: one asks, twice as often as he may have to wait.
func (c *Cache[K, V]) staleIfErrorLocked(key K) {
	now := c.opts.Now()
	if old := c.first.get(key); old != nil && old.usableOnError(now, c.opts.StaleIfError) {
		c.first.put(key, old.extendOnError(now, 2*c.opts.Timeout))
	}
}

// complete keeps the answers of the flights that no invalidation took out of the map, and lets all who wait have theirs.
func (c *Cache[K, V]) complete(own *batch[K, V]) {
	c.mu.Lock()
	for _, f := range own.calls {
		if c.mu.inflight[f.key] != f {
			continue
		}
		delete(c.mu.inflight, f.key)
		if f.err == nil {
			c.putLocked(f.key, f.item)
		} else {
			c.staleIfErrorLocked(f.key)
		}
	}
	c.mu.Unlock()
	for _, f := range own.calls {
		close(f.done)
	}
}
