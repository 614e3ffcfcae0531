package autoscale

import (
	"slices"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// peers are the numbers of nodes that the target did not start, in the last looks. The most of them counts: a registry that
// has just come back lists few for a moment, and that is no reason to start nodes.
type peers []int

// peersFor is how many looks are kept; a node that is gone is missed after so many.
const peersFor = 3

func (p *peers) see(nodes []membership.Node, own []membership.NodeID) {
	n := 0
	for i := range nodes {
		if !nodes[i].Draining && !slices.Contains(own, nodes[i].ID) {
			n++
		}
	}
	if len(*p) == peersFor {
		*p = (*p)[1:]
	}
	*p = append(*p, n)
}

// most is the highest; not known: there are not enough looks to tell that there is none.
func (p *peers) most() (n int, known bool) {
	for _, seen := range *p {
		n = max(n, seen)
	}
	return n, n > 0 || len(*p) == peersFor
}

// least is the lowest, once there are enough looks to tell nodes that stay from those that come and go.
func (p *peers) least() int {
	if len(*p) < peersFor {
		return 0
	}
	return slices.Min(*p)
}
