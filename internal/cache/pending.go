package cache

import (
	"context"
	"sync"
	"time"
)

// pendingInvalidations tracks the invalidations that are in progress or failed, so the second level and the other nodes may not
// know them yet. While a cache has one, this node does not use the second level of that cache.
type pendingInvalidations struct {
	sync.Mutex
	byCache map[string]*pendingInvalidation // by name of the cache
}

type pendingInvalidation struct {
	count  int          // invalidations in progress or failed
	failed int          // failed ones
	merged invalidation // union of the failed ones; bounded by maxNames
}

// begin records that an invalidation begins.
func (l *pendingInvalidations) begin(cache string) {
	l.Lock()
	defer l.Unlock()
	if l.byCache == nil {
		l.byCache = map[string]*pendingInvalidation{}
	}
	if l.byCache[cache] == nil {
		l.byCache[cache] = &pendingInvalidation{}
	}
	l.byCache[cache].count++
}

// done records that count invalidations were propagated.
func (l *pendingInvalidations) done(cache string, count int) {
	l.Lock()
	defer l.Unlock()
	if d := l.byCache[cache]; d.count > count {
		d.count -= count
		return
	}
	delete(l.byCache, cache)
}

// failed records n, which stands for count invalidations, for a retry.
func (l *pendingInvalidations) failed(cache string, n invalidation, count int) {
	l.Lock()
	defer l.Unlock()
	d := l.byCache[cache]
	d.failed += count
	d.merged.merge(n)
}

// takeFailed removes and returns the failed invalidations. They stay counted until done.
func (l *pendingInvalidations) takeFailed() map[string]pendingInvalidation {
	l.Lock()
	defer l.Unlock()
	due := map[string]pendingInvalidation{}
	for cache, d := range l.byCache {
		if d.failed > 0 {
			due[cache] = *d
			d.failed, d.merged = 0, invalidation{}
		}
	}
	return due
}

func (l *pendingInvalidations) has(cache string) bool {
	l.Lock()
	defer l.Unlock()
	return l.byCache[cache] != nil
}

func (l *pendingInvalidations) total() int {
	var n int
	l.Lock()
	defer l.Unlock()
	for _, d := range l.byCache {
		n += d.count
	}
	return n
}

func (s *Shared) hasPending(cache string) bool { return s.pending.has(cache) }

// invalidate applies n on this node and then propagates it. It counts as pending from before the first step, so that no caller of
// this node reads the dropped values from the second level.
func (s *Shared) invalidate(ctx context.Context, n invalidation, here cacheHandle) {
	s.pending.begin(n.Cache)
	here.apply(n)
	s.propagate(ctx, n, 1)
}

// retryPending propagates the failed invalidations again.
func (s *Shared) retryPending(ctx context.Context) {
	for cache, d := range s.pending.takeFailed() {
		d.merged.Cache = cache
		s.propagate(ctx, d.merged, d.failed)
	}
}

// propagate updates the second level before it notifies the nodes: a node that is notified must not find the old value there.
func (s *Shared) propagate(ctx context.Context, n invalidation, count int) {
	err := s.replaceGenerations(ctx, n)
	if err == nil {
		err = s.publish(ctx, n)
	}
	if err != nil {
		s.pending.failed(n.Cache, n, count)
		return
	}
	s.pending.done(n.Cache, count)
}

// replaceGenerations writes a new generation for everything that n names. It writes the clock first.
func (s *Shared) replaceGenerations(ctx context.Context, n invalidation) error {
	m, _ := s.member(n.Cache)
	if m.generations == 0 {
		return nil
	}
	if err := s.setGenerations(ctx, []string{clockKey(n.Cache)}, m.generations); err != nil {
		return err
	}
	var keys, values []string
	for _, name := range n.Keys {
		keys, values = append(keys, keyGenerationKey(n.Cache, name)), append(values, valueKey(n.Cache, name))
	}
	for _, tag := range n.Tags {
		keys = append(keys, tagGenerationKey(n.Cache, tag))
	}
	if len(n.Patterns) > 0 {
		keys = append(keys, cacheGenerationKey(n.Cache))
	}
	err := s.setGenerations(ctx, keys, m.generations)
	if err == nil && len(values) > 0 {
		_ = s.call(ctx, "delete from the shared cache", func(ctx context.Context) error { return s.level.Delete(ctx, values) }) // they are void; this only frees their memory
	}
	return err
}

func (s *Shared) setGenerations(ctx context.Context, keys []string, ttl time.Duration) error {
	values, ttls := make([][]byte, len(keys)), make([]time.Duration, len(keys))
	for i := range keys {
		values[i], ttls[i] = newGeneration(), ttl
	}
	return s.set(ctx, keys, values, ttls)
}
