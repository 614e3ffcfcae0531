// Package node composes the processes of the platform: a node, a gateway, and the autoscaler. It maps configuration to
// the options of the packages below, opens them from the bottom up, and owns the order of start and stop. It contains no behaviour
// of messages: that is in the packages that it wires. Config and GatewayConfig are the flags of the commands serve and gateway;
// their names are part of the public contract.
//
// A node starts in this order: data directory, store, accounts, cluster, spill, delivery, ingest, edges, listener. It stops in the
// reverse order, after a drain: it is not ready, refuses new work, answers the calls in progress, hands its phones over, settles what
// was acknowledged, and closes the store last. See lifecycle.go.
//
// Concurrency: Run of a configuration blocks until its context ends or a part fails. Everything else is internal to that call.
package node
