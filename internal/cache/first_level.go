package cache

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// unhealthyTTL is how long an entry of the first level stands while invalidations may be missed.
const unhealthyTTL = time.Second

// firstLevel is the first level. What has ended stays until it is replaced or evicted: the number of entries bounds the memory,
// and a goroutine that looks for what ended would need an owner.
type firstLevel[K comparable, V any] struct {
	otter *otter.Cache[K, *item[V]]
}

// item is an entry of the first level.
type item[V any] struct {
	Entry[V]
	askedAt      time.Time // it was true then or later: before it was asked for
	validFrom    time.Time // it stands from then
	validUntil   time.Time // to then
	staleIfError bool      // it stands although it is over, because the source could not be asked
	refreshing   atomic.Bool
	expired      atomic.Bool // invalidations may have been missed since it was asked for
}

// fresh tells whether the item may be given out. sure: no invalidation can have been missed.
func (it *item[V]) fresh(now time.Time, sure bool) bool {
	if !now.Before(it.validUntil) {
		return false
	}
	return it.staleIfError || !it.expired.Load() && (sure || now.Sub(it.askedAt) < unhealthyTTL)
}

// usableOnError tells whether the item may be given out because the source cannot be asked.
func (it *item[V]) usableOnError(now time.Time, grace time.Duration) bool {
	return it.Found && now.Sub(it.askedAt) < grace
}

// extendOnError is the item for the time until the source is asked again.
func (it *item[V]) extendOnError(now time.Time, again time.Duration) *item[V] {
	return &item[V]{Entry: it.Entry, askedAt: it.askedAt, validFrom: now, validUntil: now.Add(again), staleIfError: true}
}

// startRefresh tells the first who asks in the second half of the item's time.
func (it *item[V]) startRefresh(now time.Time) bool {
	return now.Sub(it.validFrom) >= it.validUntil.Sub(it.validFrom)/2 && !it.refreshing.Load() && !it.refreshing.Swap(true)
}

// expireAll makes all items end, and leaves them for the time in which the source cannot be asked.
func (f firstLevel[K, V]) expireAll() {
	for _, it := range f.otter.All() {
		it.expired.Store(true)
	}
}

func newFirstLevel[K comparable, V any](entries int, counts *stats.Counter) firstLevel[K, V] {
	return firstLevel[K, V]{otter.Must(&otter.Options[K, *item[V]]{
		MaximumSize:   entries,
		StatsRecorder: evictions{counts},
		Executor:      func(task func()) { task() }, // small tasks on the caller's goroutine; none calls the cache
	})}
}

// evictions takes from otter what only otter knows. Hits and misses are the cache's to judge.
type evictions struct{ counts *stats.Counter }

func (evictions) RecordHits(int)                  {}
func (evictions) RecordMisses(int)                {}
func (evictions) RecordLoadSuccess(time.Duration) {}
func (evictions) RecordLoadFailure(time.Duration) {}
func (e evictions) RecordEviction(weight uint32)  { e.counts.RecordEviction(weight) }

// get gives the item of a key, ended or not; nil: there is none.
func (f firstLevel[K, V]) get(key K) *item[V] {
	it, _ := f.otter.GetIfPresent(key)
	return it
}

func (f firstLevel[K, V]) put(key K, it *item[V]) { f.otter.Set(key, it) }
func (f firstLevel[K, V]) remove(key K)           { f.otter.Invalidate(key) }
func (f firstLevel[K, V]) clear()                 { f.otter.InvalidateAll() }
func (f firstLevel[K, V]) size() int              { return f.otter.EstimatedSize() }

// removeIf walks over all items.
func (f firstLevel[K, V]) removeIf(bad func(K, *item[V]) bool) {
	var gone []K
	for key, it := range f.otter.All() {
		if bad(key, it) {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		f.remove(key)
	}
}
