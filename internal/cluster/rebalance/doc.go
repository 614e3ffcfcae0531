// Package rebalance hands phones over to other nodes: of a node that is over its load, or that drains. It decides how many
// leave and how fast; package signalr closes their connections with leave to reconnect, and where they come back is said at
// negotiate. It does not choose who leaves.
//
// What must hold: nobody is sent away to where there is less room than here, nodes do not send phones to and fro, and a wave
// is no larger than what the others can take while it lasts. So a node is over its load well above what leaves room for more,
// and what lies between is nobody's business.
//
// Concurrency: Rules are pure. A Mover's Run owns its goroutine; its other methods may be called from any.
package rebalance
