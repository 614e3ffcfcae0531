// Package balance decides which node a call goes to. It opens no connections and has neither a clock nor a random source of
// its own: the caller reports nodes, health checks and outcomes of calls, and gets a node or the reason why there is none.
//
// # The choice
//
// Invariants: equal nodes get equal shares, a slow or full node gets fewer calls immediately, a recovered node regains its
// share without intervention, and stale or imprecise information never directs all calls to one node.
//
// The naive way is to choose the node with the best score. Scores are slightly old and imprecise, so every gateway chooses the
// same node until the next report makes it the worst: herding. Choosing the better of two random nodes (power of two choices)
// distributes nearly as well and does not herd.
//
// There are two kinds of information. Fresh information of this gateway decides between the two nodes: calls in progress and
// the peak latency. Older or indirect information (the load that a node reports once a second, if it is near its limit and
// clearly above that of others, and the time since the node came up) makes a node less likely to be chosen: it is skipped with
// a probability that follows from its weight. So a report shifts shares in proportion and never diverts all calls at once.
// Loads within 0.15 of each other count as equal: with three equal nodes on a full machine, reports between 0.7 and 1 took up to
// a quarter of its share from a node for seconds.
//
// Latencies within a factor of two count as equal. Equal nodes differ that much all the time, and a node that takes twice as
// long has more calls in progress in any case. Without the tolerance, chance would decide. If two nodes cost nearly the same,
// the one with fewer recent calls is chosen, so that equal nodes have equal shares over ten seconds.
//
// # States
//
// A node is up, or out for one of four reasons: it has not been checked yet, it reports not ready (starting or draining), its
// checks fail or connections are refused (down), or calls to it break although its checks succeed (ejected). Down ends with a
// successful check. Ejected ends with a successful check after a pause that doubles each time; then the node is on probation,
// and one broken call ejects it again until a few calls were answered. At most half of the nodes can be ejected: if most nodes
// break calls, the fault lies elsewhere. A node that comes back regains its share slowly. If no node is up, all are tried: a
// wrong opinion must not be worse than none.
//
// Concurrency: a Balancer is not safe for concurrent use.
package balance
