// Package autoscale decides how many nodes a cluster should have, and has it so. A policy says what is measured and how fast to
// move; the registry says how the nodes are; a target starts and stops nodes. Every decision says why in words, and those
// that matter are kept in a diary.
//
// It measures nothing itself, moves no phones and no calls, and knows nothing of processes, Kubernetes or databases: those
// are behind the ports in ports.go.
//
// # The decision
//
// State.Decide is pure: a policy, an observation and a time give a decision, and nothing else is looked at. What nodes
// say adds up (the load of all nodes, the messages that wait in all nodes), so the sum over the target is the number of nodes
// that would do. From there to a step it is a matter of not being nervous:
//
//   - what is compared is the mean over a window, not the last word;
//   - a step up needs that all of the time for which `up` stabilises asked for it, a step down that all of the (long) time for
//     which `down` stabilises would have done with fewer: the horizontal pod autoscaler of Kubernetes does the same;
//   - a step down must leave room: the nodes that stay have to be below the target by the tolerance. So of two neighbouring
//     numbers both are right for some loads, and a load that wobbles does not move anything;
//   - a step has a largest size, and a pause after it.
//
// The naive way, to compare the load with two thresholds, adds nodes while those of the last step still start, and takes
// one away only to bring it back a minute later.
//
// Nothing is taken away on account of what is not known: where the registry does not answer, or a node that should report
// does not, or a node that would leave has accepted messages on its own disk only, the number stays. Adding is different:
// too many nodes cost money, too few cost calls. But where two steps up have not made the metric fall, more nodes are not
// what is missing: it stops, says so, and tries again much later.
//
// # One at a time
//
// Several scalers may run; one at a time holds the lease. Its token rises with each holder, and a word in the diary, the
// state and the effect on a target are only had while the token is the newest: a holder that slept through its lease finds
// out when it acts, not before, and that is enough.
//
// Concurrency: Run owns everything; Status may be called from any goroutine. A State is one owner's.
package autoscale
