// Package torture injects faults into running nodes under load and checks the promises of the platform. Businesses send,
// phones connect and acknowledge, and processes are killed and paused. A ledger outside the nodes records what each
// client observed. It decides whether a message was lost, duplicated, reordered or taken back.
//
// The system under test is a fleet: one node with its own store, or several nodes that share a PostgreSQL and a Redis
// Cluster, with a proxied link from each node to each server. In a cluster the faults include killed and paused
// processes, flushed Redis servers, and links that are delayed, silenced or severed, several at a time. Clients use any
// node and retry at another node when a call gets no answer. The promises and the checks are the same for one node and
// for a cluster.
//
// A run is a sequence of rounds. In a round, faults and traffic run together for a while. Then the senders stop, every
// phone acknowledges at once, and the run waits until no message is in flight. The final state that the API returns for
// each message is compared with the ledger. Package checker defines the comparison; this package generates the traffic
// and the ledger entries.
//
// All random choices derive from the seed, with one random stream per actor. The interleaving of the actors is not
// deterministic.
//
// The package starts every process itself, as a child process on a free loopback port, and signals no other process.
// Concurrency: Run owns all its goroutines and ends them; the recorder accepts entries from any goroutine.
package torture
