// Package cache caches values that are expensive to load, on two levels: the first in this process, the second shared by all nodes. A cache
// is never the source of truth: whatever it loses is loaded again.
//
// # Guarantees
//
// A returned value was current at its source at some moment within its TTL. The TTL starts before the source is asked and covers both
// levels. Loads are coalesced (singleflight): one load per key is in flight at a time, and one call of the loader fetches all missing keys of
// a batch. A value whose load began before an invalidation is not cached after it. Nothing fails because the second level is unavailable,
// and a slow one costs at most its timeout, until its circuit breaker opens.
//
// # Operations
//
// Get and GetMany read through the cache. Mark and SetMany are the write side of batches: a caller that has read many values with one
// listing, for example at start, puts them into the cache without loading each key. Invalidate drops keys after a change. InvalidateTags
// drops everything that depends on one thing, for example all API keys of a business. InvalidateMatching drops keys by pattern, for
// operators and for changes whose keys share a prefix. The product uses Get, GetMany, Invalidate and InvalidateTags today; the other
// operations are part of the package's contract, and its tests cover them on both levels.
//
// # Invalidation
//
// The naive way is to delete the key and notify the other nodes. It loses a race: a caller that read the source before the change stores
// the old value after the deletion. And an invalidation by pattern would have to scan all keys of the second level, which blocks a Redis
// and cannot be done atomically in a cluster.
//
// In this process a load is an in-flight call in a map. An invalidation removes from the map every call that it may concern, and only a
// call that is still in the map when it completes is cached. In the second level each value carries the generations that were current
// before its source was asked: of the cache, of its key, and of each of its tags. The value is valid only while all of them are still
// current. An invalidation replaces one generation, so everything that was or will be stored under the old one becomes invalid with one
// write, however many values that are: those of a key, of a tag, or, for patterns, of the whole cache.
//
// The tags of a value are known only after it was loaded. So there is one more generation, the clock, which each invalidation changes
// first. Generations that are read after a load equal those before it if the clock, read after them, has not changed since
// before the load.
//
// An invalidation that could not be written to the second level or published is pending: Shared.Run retries it, and until then this node
// bypasses the second level of that cache.
//
// # The other nodes
//
// Other nodes receive invalidations through the level's subscription. A node that may have missed one drops its first level and then caches
// values for at most a second, until the subscription works again. Silence counts as a loss, so that a half-open connection is detected.
// Invalidations that the level itself lost, in a failover of Redis, take effect with the TTL. A cache for which that is too long needs a
// short TTL, or no second level.
//
// Concurrency: everything may be called from any goroutine. The package starts no goroutines except those of Shared.Run. A load runs on
// the goroutine of the first caller and is not canceled with its context, because other callers wait for it too.
package cache
