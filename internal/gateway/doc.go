// Package gateway balances REST calls over the nodes of a cluster and directs phones to nodes. It knows nothing of messages
// and stores nothing: a gateway may die at any moment, and several gateways work independently of each other.
//
// Package balance decides which node gets a call, which nodes are healthy, and which calls may be retried. This package
// handles clients, connections, health checks, the list of nodes, and time.
//
// # The way of a call
//
// A small body is read first, so that a client that sends slowly does not hold a node's slot. A node is chosen, or the call
// waits in a queue until a node has a free slot. The request is written and the response copied to the client. A failed call
// is retried at another node if nothing was sent, or if a retry is harmless, for which clients set idempotency keys. Other
// failures are answered outcome_unknown. A long body is streamed, and buffered only if the call has a key.
//
// # The way of a phone
//
// A phone negotiates through the gateway. The node with the fewest connections answers with its own URL and a token that is
// valid for a minute. So a gateway needs no secret, and no long-lived connections run through it.
//
// # Health checks
//
// Once a second the gateway requests GET /readyz of each node, which also reports the node's load. So a fixed list of URLs is
// sufficient, and while Redis is unavailable the gateway still knows the state of the nodes that it knew. A node that shuts
// down waits until the gateways that check it have seen it not ready, so that no call finds the node's listener closed.
//
// Concurrency: a Gateway is safe for concurrent use. Run owns all goroutines except those of requests.
package gateway
