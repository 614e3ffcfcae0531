// Package ratelimit holds every business to its plan: messages per second with a burst, messages per day, calls at once. It
// counts and says no; what a plan is, who has which, and how a "no" looks outside, others know.
//
// Concurrency: a Book and its Accounts may be used from any goroutine; Run owns the goroutines that ask and write ahead.
//
// # Who counts
//
// What must hold: all nodes together let through burst + rate × time; a call within its limits waits for nobody; when the
// nodes cannot count together, each gives its share and nothing stops.
//
// The naive way, a question to the shared bucket for every call, costs a round trip and some 20 µs of CPU where a whole call
// costs 70. The other naive way, each node its own bucket, lets through as many times the rate as there are nodes.
//
// So a node takes a chunk of the shared bucket and gives it out in small change: as much as it used in the last quarter of a
// second, or 1/256 of the burst, whatever is more, and never more than its even part of a quarter of the burst. A large chunk
// that runs low is followed by the next before it ends, so nobody waits. What is not used within two seconds is forgotten, not
// given back: it is at most what this business used here in a quarter of a second, and the bucket makes up for it as fast.
// A "no" of the shared bucket stands here until there can be enough, and a twentieth of a second at least (less where half a
// burst is back sooner), so that a flood beyond the limit costs the bucket next to nothing.
//
// Without an answer the node falls back on its share, quota divided by the nodes it last knew, for a second at a time. Neither
// turn is a new burst: the share begins with what was left of the shared bucket, and the bucket, which filled meanwhile, is told
// what was given. Only a node that is cut off while others are not gives its share besides: it cannot know.
//
// # The day
//
// The store counts days. Each node adds what it let through every few seconds, and hears the sum of all nodes. So between two
// additions a quota can be exceeded by what the other nodes let through meanwhile, and a crash forgets what was not added
// yet: both in the business's favour, both bounded by its rate. Messages are counted when they are accepted, so what was
// refused for another reason, and repeats of a key, do not count.
package ratelimit
