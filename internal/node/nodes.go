package node

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// nodes returns the nodes of the last list that was read, with the current status of this one.
func (n *node) nodes() (list []httpapi.Node) {
	self, there := n.status(), false
	for _, one := range n.cluster.nodes() {
		if one.ID == self.ID {
			self.SeenAt, there = one.SeenAt, true
			one = self
		}
		list = append(list, nodeReport(&one))
	}
	if !there {
		self.SeenAt = esh3ar.TimeOf(time.Now())
		list = append(list, nodeReport(&self))
	}
	return list
}

func nodeReport(n *membership.Node) httpapi.Node {
	return httpapi.Node{
		ID: string(n.ID), URL: n.URL, Version: n.Version, StartedAt: n.StartedAt, SeenAt: n.SeenAt, Draining: n.Draining,
		Connections: n.Connections, Waiting: n.Waiting, Spilled: n.Spilled, Load: n.Load, Parts: n.Parts,
	}
}
