// Package autoscale decides how many nodes a cluster should have, and adjusts the number. A policy says what is measured and how fast to
// move; the registry has the status of the nodes; a target starts and stops nodes. Every decision has an explanation, and the important
// ones are stored in a history.
//
// The package measures nothing itself, moves no phones and no calls, and does not know processes, Kubernetes or databases: those are behind
// the ports in ports.go.
//
// # The decision
//
// State.Decide is pure: its result depends only on the policy, the observations and the time. The metrics of the nodes add up (the load of
// all nodes, the messages that wait on all nodes), so the sum divided by the target is the number of nodes that is enough. The rest
// prevents oscillation:
//
//   - The mean over a window is compared, not the last value.
//   - A step up needs a recommendation for more nodes throughout the stabilization window of `up`; a step down needs one for fewer nodes
//     throughout the (long) window of `down`. The horizontal pod autoscaler of Kubernetes does the same.
//   - A step down must leave room: the load of the remaining nodes must be below the target by the tolerance. So for some loads two
//     neighbouring numbers are both right, and a load that fluctuates changes nothing.
//   - A step has a maximum size, and a cooldown follows it.
//
// The naive way compares the load with two thresholds. It adds nodes while those of the last step are still starting, and removes one only
// to start it again a minute later.
//
// Missing information never removes a node. If the registry does not answer, if a node that should report does not, or if a node that would
// be removed has accepted messages only on its own disk, the number stays. Adding nodes is different: too many nodes cost money, too few
// cost calls. But if two steps up have not lowered the metric, more nodes do not help. The scaler then stops, records that, and tries again
// much later.
//
// # One leader at a time
//
// Several scalers may run; one of them holds the lease. Its fencing token rises with each new leader. Entries of the history, the state and
// the effect on a target are accepted only with the newest token. A leader that was suspended beyond its lease notices that only when it
// acts, and that is early enough.
//
// Concurrency: Run owns everything; Status may be called from any goroutine. A State has one owner.
package autoscale
