package cache

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// unhealthyTTL is the validity of first-level entries while invalidations may be missed.
const unhealthyTTL = time.Second

// firstLevel is the first level. Expired items stay until they are replaced or evicted: the capacity bounds the memory, and a
// goroutine that removes them would need an owner.
type firstLevel[K comparable, V any] struct {
	otter *otter.Cache[K, *item[V]]
}

// item is an entry of the first level.
type item[V any] struct {
	Entry[V]
	askedAt      time.Time // time before the source was asked; the value was current then or later
	validFrom    time.Time // start of its validity
	validUntil   time.Time // end of its validity
	staleIfError bool      // its validity was extended because the source failed
	refreshing   atomic.Bool
	expired      atomic.Bool // invalidations may have been missed since askedAt
}

// fresh reports whether the item may be served. healthy means that no invalidation can have been missed.
func (it *item[V]) fresh(now time.Time, sure bool) bool {
	if !now.Before(it.validUntil) {
		return false
	}
	return it.staleIfError || !it.expired.Load() && (sure || now.Sub(it.askedAt) < unhealthyTTL)
}

// usableOnError reports whether the item may be served because the source fails.
func (it *item[V]) usableOnError(now time.Time, grace time.Duration) bool {
	return it.Found && now.Sub(it.askedAt) < grace
}

// extendOnError returns a copy of the item that is valid until the source is asked again.
func (it *item[V]) extendOnError(now time.Time, again time.Duration) *item[V] {
	return &item[V]{Entry: it.Entry, askedAt: it.askedAt, validFrom: now, validUntil: now.Add(again), staleIfError: true}
}

// startRefresh returns true once, to the first caller in the second half of the item's validity.
func (it *item[V]) startRefresh(now time.Time) bool {
	return now.Sub(it.validFrom) >= it.validUntil.Sub(it.validFrom)/2 && !it.refreshing.Load() && !it.refreshing.Swap(true)
}

// expireAll marks every item expired. Expired items may still be served while the source fails.
func (f firstLevel[K, V]) expireAll() {
	for _, it := range f.otter.All() {
		it.expired.Store(true)
	}
}

func newFirstLevel[K comparable, V any](entries int, counts *stats.Counter) firstLevel[K, V] {
	return firstLevel[K, V]{otter.Must(&otter.Options[K, *item[V]]{
		MaximumSize:   entries,
		StatsRecorder: evictions{counts},
		Executor:      func(task func()) { task() }, // tasks are short and run on the caller's goroutine; none calls the cache
	})}
}

// evictions records the evictions, which only otter knows. The cache itself decides what is a hit or a miss.
type evictions struct{ counts *stats.Counter }

func (evictions) RecordHits(int)                  {}
func (evictions) RecordMisses(int)                {}
func (evictions) RecordLoadSuccess(time.Duration) {}
func (evictions) RecordLoadFailure(time.Duration) {}
func (e evictions) RecordEviction(weight uint32)  { e.counts.RecordEviction(weight) }

// get returns the item of a key, expired or not, or nil if there is none.
func (f firstLevel[K, V]) get(key K) *item[V] {
	it, _ := f.otter.GetIfPresent(key)
	return it
}

func (f firstLevel[K, V]) put(key K, it *item[V]) { f.otter.Set(key, it) }
func (f firstLevel[K, V]) remove(key K)           { f.otter.Invalidate(key) }
func (f firstLevel[K, V]) clear()                 { f.otter.InvalidateAll() }
func (f firstLevel[K, V]) size() int              { return f.otter.EstimatedSize() }

// removeIf removes the items for which bad returns true. It walks over all items.
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
