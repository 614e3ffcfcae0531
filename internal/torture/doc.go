// Package torture kills and pauses nodes again and again while businesses send and phones come, go and acknowledge, and
// decides from a ledger of its own, kept outside of them, whether anything was lost, doubled, reordered or taken back.
//
// What is tortured is a fleet: one node with a store of its own, or several on common ground, a PostgreSQL, a Redis Cluster
// and a link from each node to each of their servers. Then all of these suffer: processes are killed and paused, Redis
// forgets, links are delayed, swallow or are severed, several at a time. Businesses, phones and consumers of events use any
// node, and repeat at another what one did not answer. The promises are the same, and so are the ledger and its verdict.
//
// A run is a sequence of rounds. In each, faults and traffic go on for a while; then the senders stop, all phones become
// prompt, everything comes to rest, and what the node says of every message is held against what was seen of it. What is
// held against what, and how, is the matter of package checker; this package makes the traffic and the entries.
//
// All choices come from the seed, each actor's from a stream of its own. Which of them meet is the system's doing.
//
// It starts everything itself, as child processes on free loopback ports, and ends, pauses and resumes no other process.
// Concurrency: Run owns all its goroutines and ends them; the recorder takes entries from any of them.
package torture
