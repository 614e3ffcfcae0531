// Package ratelimit enforces the limits of a business's plan: messages per second with a burst, messages per day, and concurrent calls. It
// counts and refuses. It does not know how plans are stored, which business has which plan, or how a refusal is reported to clients.
//
// Concurrency: Limiters and each Limiter may be used from any goroutine; Run owns the background goroutines.
//
// # Rate
//
// Invariants: all nodes together admit at most burst + rate × time; a call within its limits waits for no other node; if the nodes cannot
// count together, each node enforces its share, and nothing stops.
//
// The naive way asks the shared bucket for every call. That costs a round trip and about 20 µs of CPU, where a whole call costs 70 µs. The
// other naive way gives each node its own bucket, which admits the rate once per node.
//
// So a node leases a chunk of the shared bucket and spends it locally. The size of a chunk is what the business used here in the last
// quarter of a second, at least 1/256 of the burst, and at most the node's share of a quarter of the burst. A large chunk is followed by the
// next one before it is used up (prefetch), so no call waits. Tokens that are not used within two seconds are discarded, not returned: they
// are at most what the business uses here in a quarter of a second, and the bucket refills as fast. A refusal of the shared bucket is cached
// until it could grant the request, and for at least 50 ms (less if half a burst refills sooner). So a flood beyond the limit costs the
// bucket next to nothing.
//
// If the shared bucket does not answer, the node falls back to its share, quota divided by the last known number of nodes, for a second at a
// time. Neither switch grants a new burst: the share starts with what was left of the shared bucket, and the shared bucket, which filled up
// meanwhile, is charged with what was granted in fallback. One exception is left: a node that alone is cut off grants its share in addition
// to what the others grant, because it cannot know.
//
// # Daily quota
//
// The store counts days. Every few seconds each node adds what it admitted and gets the total over all nodes. So between two additions a
// quota can be exceeded by what other nodes admit, and a crash loses what was not added yet. Both are in the business's favour and bounded by
// its rate. Messages are counted when they are accepted, so calls that were refused for another reason, and repeated calls, do not count.
package ratelimit
