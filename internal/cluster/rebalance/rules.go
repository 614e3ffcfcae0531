package rebalance

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Rules say when phones leave; the zero value of a field means its default. Loads are shares of a node's capacity.
type Rules struct {
	Over      float64       // above it phones leave; default 0.9
	Room      float64       // below it a node can take more; default 0.7
	Part      float64       // of the phones that leave in a round for a load that is not theirs alone; default 0.05
	PerSecond int           // phones that a node without any load takes in a second; default 500: a tenth of what one node was measured to take
	Every     time.Duration // between two rounds, so that each sees what the one before did; default 5 s
}

func (r Rules) withDefaults() Rules {
	for _, d := range []struct {
		value  *float64
		normal float64
	}{{&r.Over, 0.9}, {&r.Room, 0.7}, {&r.Part, 0.05}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if r.PerSecond == 0 {
		r.PerSecond = 500
	}
	if r.Every == 0 {
		r.Every = 5 * time.Second
	}
	return r
}

// Round is what leaves until the next one.
type Round struct {
	Leave int    // connections
	Rate  int    // of them in a second
	Why   string // in words; empty: nothing leaves and nothing has to
}

// leastRate is the pace of a node that drains while nobody has room: it has to end all the same.
const leastRate = 50

// Step decides about the phones of self, which may be among nodes.
func (r Rules) Step(self membership.Node, nodes []membership.Node) Round {
	r = r.withDefaults()
	rate, mean := r.pace(&self, nodes)
	switch {
	case self.Connections == 0:
		return Round{}
	case self.Draining:
		return Round{Leave: self.Connections, Rate: max(rate, leastRate), Why: "this node drains"}
	case self.Load <= r.Over:
		return Round{}
	case rate == 0:
		return Round{Why: "this node is over its load, and no other has room"}
	}
	leave := min(r.excess(&self), self.Connections-mean, int(float64(rate)*r.Every.Seconds()))
	if leave <= 0 {
		return Round{Why: "this node is over its load, and has no more phones than the others"}
	}
	return Round{Leave: leave, Rate: rate, Why: "this node is over its load"}
}

// pace is this node's part of how many phones in a second the others can take, and how many each node has on average. Others that
// hand phones over as well take the same part.
func (r Rules) pace(self *membership.Node, nodes []membership.Node) (rate, mean int) {
	able, total, count, givers := 0.0, self.Connections, 1, 1
	for i := range nodes {
		n := &nodes[i]
		if n.ID == self.ID {
			continue
		}
		if n.Connections > 0 && (n.Draining || n.Load > r.Over) {
			givers++
		}
		if !n.Draining {
			able += max(0, 1-n.Load/r.Room)
			total += n.Connections
			count++
		}
	}
	return int(able * float64(r.PerSecond) / float64(givers)), total / count
}

// excess is how many phones are too many. Where the connections are what is full it is known; else a part goes, and the next
// round sees what that brought.
func (r Rules) excess(self *membership.Node) int {
	if self.Parts.Connections < self.Load {
		return int(math.Ceil(float64(self.Connections) * r.Part))
	}
	aim := (r.Over + r.Room) / 2
	return int(math.Ceil(float64(self.Connections) * (1 - aim/self.Load)))
}

// Elsewhere is where a phone that comes to self should go instead; nil: it is right here. One that was sent here stays, unless the
// node drains: nodes know each other's load of a second ago, and two that are full would send it to and fro until it gives up.
func (r Rules) Elsewhere(self membership.Node, nodes []membership.Node, sent bool) *membership.Node {
	r = r.withDefaults()
	if !self.Draining && (sent || self.Load <= r.Over) {
		return nil
	}
	var best *membership.Node
	for i := range nodes {
		n := &nodes[i]
		if n.ID != self.ID && !n.Draining && (n.Load < r.Room || self.Draining) && (best == nil || n.Load < best.Load) {
			best = n
		}
	}
	return best
}
