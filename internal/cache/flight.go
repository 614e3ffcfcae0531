package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is one question that everybody who needs its answer waits for.
type flight[K comparable, V any] struct {
	key  K
	trip *trip[K, V]
	done chan struct{}
	item *item[V] // both written before done is closed
	err  error
}

// trip is one caller's round of asking: the flights that no other caller had begun.
type trip[K comparable, V any] struct {
	flights []*flight[K, V]
	asked   time.Time
}

var (
	errNoAnswer = errors.New("the loader gave no answer")
	errShort    = errors.New("the loader answered for another number of keys")
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
		flights, own := c.board(keys, places)
		c.fly(ctx, own)
		var again []int
		for i, place := range places {
			it, err := c.wait(ctx, flights[i])
			if err != nil {
				return nil, fmt.Errorf("cache %s: %w", c.opts.Name, err)
			}
			entries[place] = it.Entry
			if !late && !it.Found && c.opts.MissTTL <= 0 && flights[i].trip != own {
				again = append(again, place)
			}
		}
		places = again
	}
	return entries, nil
}

// board finds the flight of each key, and begins those that are missing: these are the caller's to fly.
func (c *Cache[K, V]) board(keys []K, places []int) (all []*flight[K, V], own *trip[K, V]) {
	all, own = make([]*flight[K, V], len(places)), &trip[K, V]{}
	c.mu.Lock()
	defer c.mu.Unlock()
	own.asked = c.opts.Now()
	for i, place := range places {
		f, begun := c.mu.flights[keys[place]]
		if !begun {
			f = &flight[K, V]{key: keys[place], trip: own, done: make(chan struct{}), err: errNoAnswer}
			c.mu.flights[f.key] = f // bounded by the keys that callers wait for
			own.flights = append(own.flights, f)
		}
		all[i] = f
	}
	return all, own
}

// wait is over when the flight has landed. A flight that failed leaves what was known before, while that stands.
func (c *Cache[K, V]) wait(ctx context.Context, f *flight[K, V]) (*item[V], error) {
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
	if old := c.first.of(f.key); old != nil && (old.stands(now, c.sure()) || old.bridges(now, c.opts.Grace)) {
		return old, nil
	}
	return nil, f.err
}

// fly brings the answers. The second level learns of them when nobody waits any more but who flew.
func (c *Cache[K, V]) fly(ctx context.Context, own *trip[K, V]) {
	if len(own.flights) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Timeout)
	defer cancel()
	loaded, before := c.ask(ctx, own)
	if c.second == nil || len(loaded) == 0 {
		return
	}
	names, entries := make([]string, len(loaded)), make([]Entry[V], len(loaded))
	for i, f := range loaded {
		names[i], entries[i] = c.opts.Keys.Name(f.key), f.item.Entry
	}
	c.second.keep(ctx, before, names, entries, own.asked, c.opts.Now())
}

// ask asks the second level, and the loader for what it lacks, and lands. It returns what was loaded, and how the
// generations were before.
func (c *Cache[K, V]) ask(ctx context.Context, own *trip[K, V]) (loaded []*flight[K, V], before stamp) {
	defer c.land(own) // also when the loader panics
	missing := own.flights
	if c.second != nil {
		missing, before = c.askSecond(ctx, own)
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
			f.item = c.itemOf(entries[i], own.asked)
		}
	}
	if err != nil {
		return nil, before
	}
	return missing, before
}

// askSecond answers flights from the second level, and gives those that it cannot answer.
func (c *Cache[K, V]) askSecond(ctx context.Context, own *trip[K, V]) (missing []*flight[K, V], before stamp) {
	names := make([]string, len(own.flights))
	for i, f := range own.flights {
		names[i] = c.opts.Keys.Name(f.key)
	}
	found, before := c.second.look(ctx, names, own.asked)
	for i, f := range own.flights {
		if found == nil || found[i] == nil {
			missing = append(missing, f)
			continue
		}
		f.item, f.err = c.itemOf(found[i].Entry, own.asked), nil
		if found[i].ends.Before(f.item.until) {
			f.item.until = found[i].ends
		}
	}
	return missing, before
}

// load calls the loader once.
func (c *Cache[K, V]) load(ctx context.Context, keys []K) ([]Entry[V], error) {
	begun := time.Now()
	entries, err := c.opts.Load(ctx, keys)
	if err == nil && len(entries) != len(keys) {
		err = errShort
	}
	c.counts.loads.add(time.Since(begun))
	if err != nil {
		c.counts.loadErrors.Add(1)
	}
	return entries, err
}

// bridgeLocked lets what was known of a key stand for a while where asking failed, so that not everybody waits for a source
// that is silent: one asks, twice as often as he may have to wait.
func (c *Cache[K, V]) bridgeLocked(key K) {
	now := c.opts.Now()
	if old := c.first.of(key); old != nil && old.bridges(now, c.opts.Grace) {
		c.first.put(key, old.bridged(now, 2*c.opts.Timeout))
	}
}

// land keeps the answers of the flights that no invalidation took out of the map, and lets all who wait have theirs.
func (c *Cache[K, V]) land(own *trip[K, V]) {
	c.mu.Lock()
	for _, f := range own.flights {
		if c.mu.flights[f.key] != f {
			continue
		}
		delete(c.mu.flights, f.key)
		if f.err == nil {
			c.putLocked(f.key, f.item)
		} else {
			c.bridgeLocked(f.key)
		}
	}
	c.mu.Unlock()
	for _, f := range own.flights {
		close(f.done)
	}
}
