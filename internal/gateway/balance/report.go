package balance

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Report is how a node stands, for metrics and logs.
type Report struct {
	ID          membership.NodeID
	URL         string
	State       State
	Calls       int    // under way
	Streams     int    // open
	Taken       uint64 // calls that were sent there, since it is known
	Latency     time.Duration
	Load        float64 // as it reports it
	Connections int     // as it reports them
}

// Report tells how all nodes stand.
func (b *Balancer) Report(now time.Time) []Report {
	list := make([]Report, len(b.nodes))
	for i, n := range b.nodes {
		list[i] = Report{n.ID, n.URL, n.state, n.calls, n.streams, n.taken, n.latency.Value(now), n.load, n.connections}
	}
	return list
}
