package autoscale

import (
	"slices"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// foreignNodes holds the number of nodes that the target did not start, for the last observations. The maximum counts: a registry
// that has just come back lists few nodes for a moment, which is no reason to start more.
type foreignNodes []int

// foreignSamples is the number of observations stored; a stopped node is noticed after as many.
const foreignSamples = 3

func (p *foreignNodes) observe(nodes []membership.Node, own []membership.NodeID) {
	n := 0
	for i := range nodes {
		if !nodes[i].Draining && !slices.Contains(own, nodes[i].ID) {
			n++
		}
	}
	if len(*p) == foreignSamples {
		*p = (*p)[1:]
	}
	*p = append(*p, n)
}

// highest returns the largest number. known is false if there are too few observations to conclude that there are no foreign nodes.
func (p *foreignNodes) highest() (n int, known bool) {
	for _, seen := range *p {
		n = max(n, seen)
	}
	return n, n > 0 || len(*p) == foreignSamples
}

// lowest returns the smallest number, once there are enough observations to tell permanent nodes from short-lived ones.
func (p *foreignNodes) lowest() int {
	if len(*p) < foreignSamples {
		return 0
	}
	return slices.Min(*p)
}
