package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// call is one in-flight load of a key. Every caller that needs the key waits for it.
type call[K comparable, V any] struct {
	key   K
	batch *batch[K, V]
	done  chan struct{}
	item  *item[V] // item and err are written before done is closed
	err   error
}

// batch holds the in-flight calls that one caller started. It loads them together.
type batch[K comparable, V any] struct {
	calls   []*call[K, V]
	askedAt time.Time
}

var (
	errNoAnswer   = errors.New("the loader gave no answer")
	errWrongCount = errors.New("the loader answered for another number of keys")
)

// fetch loads keys that the first level cannot answer. If "not found" must not be cached, a caller does not accept it from a call
// that began before its own: the key may have been created in between. It then joins a second call, which began after its request.
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

// join returns the in-flight call of each key, and starts the missing ones. The caller must run those in own.
func (c *Cache[K, V]) join(keys []K, places []int) (all []*call[K, V], own *batch[K, V]) {
	all, own = make([]*call[K, V], len(places)), &batch[K, V]{}
	c.mu.Lock()
	defer c.mu.Unlock()
	own.askedAt = c.opts.Now()
	for i, place := range places {
		f, begun := c.mu.inflight[keys[place]]
		if !begun {
			f = &call[K, V]{key: keys[place], batch: own, done: make(chan struct{}), err: errNoAnswer}
			c.mu.inflight[f.key] = f // bounded by the number of keys that callers wait for
			own.calls = append(own.calls, f)
		}
		all[i] = f
	}
	return all, own
}

// wait waits for an in-flight call. If the call failed, it returns the previous item while that is still usable.
func (c *Cache[K, V]) wait(ctx context.Context, f *call[K, V]) (*item[V], error) {
	select {
	case <-f.done: // checked first, so that a caller that ran the call gets its result even if ctx has ended
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

// run loads the calls of own. The second level is written after the callers have their answers; only the caller that ran the load
// waits for it.
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

// resolve answers the calls from the second level, loads the rest, and completes all of them. It returns the calls that were
// loaded, and the generations before the load.
func (c *Cache[K, V]) resolve(ctx context.Context, own *batch[K, V]) (loaded []*call[K, V], before generationSet) {
	defer c.complete(own) // also if the loader panics
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
		f.err = err
		if err == nil {
			f.item = c.itemOf(entries[i], own.askedAt)
		}
	}
	if err != nil {
		return nil, before
	}
	return missing, before
}

// lookUpSecond answers calls from the second level and returns those that it cannot answer.
func (c *Cache[K, V]) lookUpSecond(ctx context.Context, own *batch[K, V]) ([]*call[K, V], generationSet) {
	var missing []*call[K, V]
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

// staleIfErrorLocked extends the previous item of a key after a failed load, so that callers do not all wait for an unresponsive
// source. Its validity is twice the load timeout: one caller at a time retries.
func (c *Cache[K, V]) staleIfErrorLocked(key K) {
	now := c.opts.Now()
	if old := c.first.get(key); old != nil && old.usableOnError(now, c.opts.StaleIfError) {
		c.first.put(key, old.extendOnError(now, 2*c.opts.Timeout))
	}
}

// complete stores the items of the calls that no invalidation has removed from the map, then wakes the waiting callers.
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
