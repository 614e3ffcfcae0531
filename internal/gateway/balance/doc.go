// Package balance decides which node a call goes to. It opens no connection and knows no clock and no randomness of its own:
// nodes, health checks and ends of calls are told to it, and it answers with a node or with a reason why there is none.
//
// # The choice
//
// What must hold: equal nodes get equal shares, a node that is slow or full gets less at once, one that has recovered gets
// its share back by itself, and whatever is known only roughly or late never sends everybody to one node.
//
// The naive way is to take the node with the best score. Scores are a little old and a little wrong, so everybody takes the
// same node until the next report makes it the worst: a herd. Two nodes drawn by chance, and the better of them, spread
// nearly as well as the best one and cannot herd.
//
// There are two kinds of knowledge. What is fresh and our own decides between the two: calls under way, and the peak of
// the latency. What is old or only a hint (the load that a node reports once a second, where that is near its limit and clearly above
// that of others; how long it has been up) makes it less likely to be drawn: it sits a draw out as often as its weight says. So a report
// shifts shares by as much as it says and never turns all calls away at once. Loads within 0.15 of each other count as equal: with
// three equal nodes on a full machine, reports that swung between 0.7 and 1 took up to a quarter of its share from a node for seconds.
//
// Latencies within a factor of two of each other count as equal. Equal nodes differ that much all the time, and calls
// under way already tell a node that takes twice as long. Without the tolerance the luck of single calls would decide. And
// where two cost nearly the same, whoever had fewer calls lately gets this one: nobody can tell equal nodes apart for a
// moment, but over ten seconds they have equal shares.
//
// # Who may be chosen
//
// A node is up, or out for one of four reasons: nobody has looked at it yet, it says that it is not ready (starting or
// draining), its checks fail or nobody listens there (down), or calls to it broke although it looked well (ejected). Down
// ends with a good check; ejected ends with a good check after a pause that doubles, and then one broken call ejects
// again, until a few were answered. At most half of the nodes can be ejected: when most of them break calls, the fault is
// not theirs. Whoever comes back gets its share slowly. When nobody is up everybody is tried: a wrong opinion about nodes
// must not be worse than none.
//
// Concurrency: a Balancer is for one goroutine at a time.
package balance
