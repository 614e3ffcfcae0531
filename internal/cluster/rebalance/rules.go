package rebalance

import (
	"cmp"
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Rules decide when phones move; the zero value of a field selects its default. Loads are shares of a node's capacity.
type Rules struct {
	HighWater float64       // high-water mark: above it phones move away; default 0.9
	LowWater  float64       // low-water mark: below it a node accepts more; default 0.7
	Fraction  float64       // fraction of the phones that move per round if connections are not the bottleneck; default 0.05
	PerSecond int           // phones per second that an idle node accepts; default 500, a tenth of what one node was measured to accept
	Interval  time.Duration // time between two rounds, so that each sees the effect of the one before; default 5 s
}

func (r Rules) withDefaults() Rules {
	r.HighWater = cmp.Or(r.HighWater, 0.9)
	r.LowWater = cmp.Or(r.LowWater, 0.7)
	r.Fraction = cmp.Or(r.Fraction, 0.05)
	r.PerSecond = cmp.Or(r.PerSecond, 500)
	r.Interval = cmp.Or(r.Interval, 5*time.Second)
	return r
}

// Round holds the number of phones that move until the next round.
type Round struct {
	Leave int    // connections to close
	Rate  int    // connections per second
	Why   string // explanation; empty if nothing moves and nothing should
}

// minDrainRate is the rate of a node that drains while no other node has room: it must finish anyway.
const minDrainRate = 50

// Step decides about the phones of self, which may be one of nodes.
func (r Rules) Step(self membership.Node, nodes []membership.Node) Round {
	r = r.withDefaults()
	rate, mean := r.rate(&self, nodes)
	switch {
	case self.Connections == 0:
		return Round{}
	case self.Draining:
		return Round{Leave: self.Connections, Rate: max(rate, minDrainRate), Why: "this node drains"}
	case self.Load <= r.HighWater:
		return Round{}
	case rate == 0:
		return Round{Why: "this node is over its load, and no other has room"}
	}
	leave := min(r.excess(&self), self.Connections-mean, int(float64(rate)*r.Interval.Seconds()))
	if leave <= 0 {
		return Round{Why: "this node is over its load, and has no more phones than the others"}
	}
	return Round{Leave: leave, Rate: rate, Why: "this node is over its load"}
}

// rate returns this node's share of the phones per second that the others can accept, and the mean number of phones per node. All
// nodes that give phones away get the same share.
func (r Rules) rate(self *membership.Node, nodes []membership.Node) (rate, mean int) {
	able := 0.0
	total := self.Connections
	count := 1
	givers := 1
	for i := range nodes {
		n := &nodes[i]
		if n.ID == self.ID {
			continue
		}
		if n.Connections > 0 && (n.Draining || n.Load > r.HighWater) {
			givers++
		}
		if !n.Draining {
			able += max(0, 1-n.Load/r.LowWater)
			total += n.Connections
			count++
		}
	}
	return int(able * float64(r.PerSecond) / float64(givers)), total / count
}

// excess returns how many phones should move. If connections are the bottleneck, that can be computed; otherwise a fraction moves,
// and the next round sees the effect.
func (r Rules) excess(self *membership.Node) int {
	if self.Parts.Connections < self.Load {
		return int(math.Ceil(float64(self.Connections) * r.Fraction))
	}
	aim := (r.HighWater + r.LowWater) / 2
	return int(math.Ceil(float64(self.Connections) * (1 - aim/self.Load)))
}

// RedirectTarget returns the node to which a phone that connects to self should go instead, or nil if it should stay. A phone that was
// redirected here stays unless the node drains: nodes know the load of a second ago, and two full nodes would redirect the phone
// back and forth.
func (r Rules) RedirectTarget(self membership.Node, nodes []membership.Node, sent bool) *membership.Node {
	r = r.withDefaults()
	if !self.Draining && (sent || self.Load <= r.HighWater) {
		return nil
	}
	var best *membership.Node
	for i := range nodes {
		n := &nodes[i]
		if n.ID != self.ID && !n.Draining && (n.Load < r.LowWater || self.Draining) && (best == nil || n.Load < best.Load) {
			best = n
		}
	}
	return best
}
