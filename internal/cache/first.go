package cache

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// unsure is how long an entry of the first level stands while invalidations may be missed.
const unsure = time.Second

// first is the first level. What has ended stays until it is replaced or evicted: the number of entries bounds the memory,
// and a goroutine that looks for what ended would need an owner.
type first[K comparable, V any] struct {
	otter *otter.Cache[K, *item[V]]
}

// item is an entry of the first level.
type item[V any] struct {
	Entry[V]
	since   time.Time // it was true then or later: before it was asked for
	from    time.Time // it stands from then
	until   time.Time // to then
	bridge  bool      // it stands although it is over, because the source could not be asked
	renewed atomic.Bool
	over    atomic.Bool // invalidations may have been missed since it was asked for
}

// stands tells whether the item may be given out. sure: no invalidation can have been missed.
func (it *item[V]) stands(now time.Time, sure bool) bool {
	if !now.Before(it.until) {
		return false
	}
	return it.bridge || !it.over.Load() && (sure || now.Sub(it.since) < unsure)
}

// bridges tells whether the item may be given out because the source cannot be asked.
func (it *item[V]) bridges(now time.Time, grace time.Duration) bool {
	return it.Found && now.Sub(it.since) < grace
}

// bridged is the item for the time until the source is asked again.
func (it *item[V]) bridged(now time.Time, again time.Duration) *item[V] {
	return &item[V]{Entry: it.Entry, since: it.since, from: now, until: now.Add(again), bridge: true}
}

// due tells the first who asks in the second half of the item's time.
func (it *item[V]) due(now time.Time) bool {
	return now.Sub(it.from) >= it.until.Sub(it.from)/2 && !it.renewed.Load() && !it.renewed.Swap(true)
}

// allOver makes all items end, and leaves them for the time in which the source cannot be asked.
func (f first[K, V]) allOver() {
	for _, it := range f.otter.All() {
		it.over.Store(true)
	}
}

func newFirst[K comparable, V any](entries int, counts *stats.Counter) first[K, V] {
	return first[K, V]{otter.Must(&otter.Options[K, *item[V]]{
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

// of gives the item of a key, ended or not; nil: there is none.
func (f first[K, V]) of(key K) *item[V] {
	it, _ := f.otter.GetIfPresent(key)
	return it
}

func (f first[K, V]) put(key K, it *item[V]) { f.otter.Set(key, it) }
func (f first[K, V]) drop(key K)             { f.otter.Invalidate(key) }
func (f first[K, V]) dropAll()               { f.otter.InvalidateAll() }
func (f first[K, V]) size() int              { return f.otter.EstimatedSize() }

// dropWhere walks over all items.
func (f first[K, V]) dropWhere(bad func(K, *item[V]) bool) {
	var gone []K
	for key, it := range f.otter.All() {
		if bad(key, it) {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		f.drop(key)
	}
}
