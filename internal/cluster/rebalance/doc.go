// Package rebalance moves phones from an overloaded or draining node to other nodes. It decides how many move and how fast. Package
// signalr closes their connections and lets them reconnect, and the negotiation tells them where to go. The package does not choose
// which phones move.
//
// Invariants: no phone is sent to a node with less room than its own, nodes do not send phones back and forth, and no wave exceeds
// what the other nodes can accept in that time. So there are two marks. Phones leave a node above the high-water mark, only nodes
// below the low-water mark accept more, and nodes in between do nothing.
//
// Concurrency: Rules are pure. A Mover's Run owns its goroutine; its other methods may be called from any goroutine.
package rebalance
