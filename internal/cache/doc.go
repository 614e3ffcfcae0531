// Package cache keeps copies of what is dear to ask for, on two levels: the first in this process, the second shared by all
// nodes. It decides nothing, and holds no truth: whatever it forgets is asked for again at its source.
//
// # What it promises
//
// An answer was true at its source at some moment within its TTL, which is counted from before the source was asked,
// through both levels. One question per key is under way at a time, and one call of the loader asks for all that a batch
// lacks. A value that was asked for before an invalidation is not kept after it. Nothing fails, and little waits, because
// the second level is away or slow.
//
// # Invalidation
//
// The naive way is to delete the key and tell the others. It loses the race against whoever asked the source before the
// change and stores what it heard after the deletion; and patterns would need a walk over all keys of the second level,
// which stops a Redis and cannot be done in a cluster at one moment.
//
// In this process a question is a flight in a map. An invalidation takes flights that it may concern out of the map; only a
// flight that is still there when it lands is kept. In the second level each value carries the generations that were in
// force before its source was asked: of the cache, of its key and of each of its tags. It counts only while they are the
// current ones. An invalidation makes a new generation, so whatever was or will be stored under the old one is void, in one
// write, however many values that are: a key's, a tag's, or for patterns the whole cache's.
//
// The tags of a value are known only after it was loaded. So there is one more generation, the clock, which each invalidation
// changes before all others: generations read after a load are those of before it if the clock, read after them, is still
// what it was before the load.
//
// What an invalidation could not yet tell the second level and the other nodes is owed: Shared.Run tries again, and until
// it is paid this node asks the source itself.
//
// # The other nodes
//
// They hear of invalidations through the level's subscription. A node that cannot be sure to hear everything drops its
// first level whole and then keeps nothing for longer than a second, until it hears again: silence counts as loss, so that a
// connection that died without a word is noticed. Invalidations that the level itself lost (a failover of Redis) end with the
// TTL; a cache for which that is too long has a short TTL, or no second level.
//
// Concurrency: everything may be called from any goroutine. The package starts none but those of Shared.Run; a load runs
// on the goroutine of the first who asked, and is not ended by his context, because others wait for it too.
package cache
