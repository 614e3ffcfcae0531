// Package gateway balances REST calls over the nodes of a cluster and sends phones to nodes. It knows nothing of messages
// and keeps nothing: a gateway may die at any moment, and several work side by side without a word to each other.
//
// Which node gets a call, who is healthy and what may be repeated is decided by package balance. This package owns what is
// real: callers, connections, checks, the list of nodes, and time.
//
// # The walk of a call
//
// The call's body is read first, as far as it is small: a caller who sends slowly must not hold a node. A node is chosen, or
// the call waits in line for one whose slots are in use. The call is written and its answer passed on. What fails is tried
// elsewhere where nothing was sent, or where a repeat does no harm, which is what idempotency keys are for; the rest is
// answered outcome_unknown. A long body is streamed, and kept beside only when the call has a key.
//
// # The walk of a phone
//
// It negotiates here, and the node with the fewest connections answers: with its own URL and a token that is good for a
// minute. So a gateway needs no secret, and no long connection runs through it.
//
// # Checks
//
// Once a second each node is asked GET /readyz, and says how it is with it. So a list of URLs is enough to work with, and
// while Redis is away the gateway knows as much as before of the nodes that it knew. A node that stops waits until the
// gateways that ask it have heard so: then no call meets a closed door.
//
// Concurrency: a Gateway is for all goroutines; Run owns those that are not callers'.
package gateway
