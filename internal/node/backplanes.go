package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/cluster/backplane"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// backplanes connect the hubs of this node to those of other nodes, by hub name. It is empty if the node runs alone.
type backplanes map[string]*backplane.Plane

func (c *cluster) backplanes() backplanes {
	all := make(backplanes)
	for _, hub := range []string{"mobile", "business"} {
		all[hub] = backplane.New(backplane.Options{Self: c.self, Nodes: c.ids, Transport: c.redis.BatchTransport(hub)})
	}
	return all
}

// ids returns the ids of the nodes of the last list that was read.
func (c *cluster) ids() (ids []membership.NodeID) {
	for _, node := range c.nodes() {
		ids = append(ids, node.ID)
	}
	return ids
}

func (p backplanes) collect(metrics chan<- prometheus.Metric) {
	for hub, plane := range p {
		stats := plane.Stats()
		for outcome, n := range map[string]uint64{
			"sent": stats.Sent, "received": stats.Received, "dropped": stats.Dropped, "dropped_batches": stats.Batches, "no_room": stats.NoRoom, "late": stats.Late,
		} {
			metrics <- prometheus.MustNewConstMetric(hubPlane, prometheus.CounterValue, float64(n), hub, outcome)
		}
	}
}
