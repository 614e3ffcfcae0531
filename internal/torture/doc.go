// Package torture kills and pauses a node again and again while businesses send and phones come, go and acknowledge, and
// decides from a ledger of its own, kept outside the node, whether anything was lost, doubled, reordered or taken back.
//
// A run is a sequence of rounds. In each, faults and traffic go on for a while; then the senders stop, all phones become
// prompt, everything comes to rest, and what the node says of every message is held against what was seen of it. What is
// held against what, and how, is the matter of package ledger; this package makes the traffic and the entries.
//
// All choices come from the seed, each actor's from a stream of its own. Which of them meet is the system's doing.
//
// It starts the node as a child process on a free loopback port and ends, pauses and resumes no other process.
// Concurrency: Run owns all its goroutines and ends them; the recorder takes entries from any of them.
package torture
