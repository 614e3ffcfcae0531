// Package membership maintains the list of live nodes of a cluster. A Heartbeat announces this node in a Registry once a second, with its
// status, and reads the list of the others. It makes no decisions: packages autoscale, rebalance and gateway read the list and decide.
//
// An entry of the registry is a lease of TTL. A node that stops announcing itself disappears from the list without an explicit leave, so
// a crash needs no cleanup. Two lost heartbeats are tolerated, because TTL is five intervals.
//
// If the registry is unavailable the last list stays: an unreachable registry is no evidence that nodes have failed. Nodes returns that
// last list; Recent returns it only while it is younger than TTL.
//
// Concurrency: Run is called once; every other method of Heartbeat may be called from any goroutine.
package membership
