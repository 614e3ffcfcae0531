package balance

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Report is the state of a node, for metrics and logs.
type Report struct {
	ID          membership.NodeID
	URL         string
	State       State
	Calls       int    // calls in progress
	Streams     int    // open streams and tunnels
	Taken       uint64 // calls sent to the node so far
	Latency     time.Duration
	Load        float64 // reported load
	Connections int     // reported connections
}

// Report returns the state of all nodes.
func (b *Balancer) Report(now time.Time) []Report {
	list := make([]Report, len(b.nodes))
	for i, n := range b.nodes {
		list[i] = Report{n.ID, n.URL, n.state, n.calls, n.streams, n.taken, n.latency.Value(now), n.load, n.connections}
	}
	return list
}
