package autoscale

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Observation is what is known about the nodes at one moment.
type Observation struct {
	Nodes        []membership.Node   // the live nodes with their announced status
	Unknown      error               // why Nodes could not be read; nil if it was
	Current      int                 // expected number of nodes, including those that are starting
	RemovalOrder []membership.NodeID // ids in the order of removal
	Opaque       bool                // the target does not know which nodes would be removed; RemovalOrder is empty
}

// metricValue returns the value that a node reports. ok is false if it is invalid.
func metricValue(m Metric, n *membership.Node) (v float64, ok bool) {
	switch m {
	case Load:
		v = n.Load
	case Waiting:
		v = float64(n.Waiting)
	case Connections:
		v = float64(n.Connections)
	}
	return v, v >= 0 && !math.IsInf(v, 1) // NaN is not >= 0
}

// sample is one observation as numbers: for each rule of the policy the sum over the nodes.
type sample struct {
	at     time.Time
	totals []float64
	full   int     // number of reporting nodes if they are full on average, otherwise 0
	load   float64 // their mean load
}

// fullAt is the load from which a node counts as full; the gauge of a full node fluctuates below 1.
const fullAt = 0.95

// sampleOf sums up an observation. A draining node counts with its load, which others will take over, but not as a node.
func (p *Policy) sampleOf(o *Observation, now time.Time) (s sample, reporting int) {
	s = sample{at: now, totals: make([]float64, len(p.Rules))}
	var load, used float64
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if p.add(s.totals, n) && !n.Draining {
			reporting++
			load += n.Load
			used += min(n.Load, 1) // load above 1 at one node cannot be used by the others
		}
	}
	if used >= fullAt*float64(reporting) {
		s.full, s.load = reporting, load/float64(max(reporting, 1))
	}
	return s, reporting
}

// add adds the values of a node to totals. whole is false if some of them are invalid.
func (p *Policy) add(totals []float64, n *membership.Node) (whole bool) {
	whole = true
	for j := range p.Rules {
		v, ok := metricValue(p.Rules[j].Metric, n)
		if ok {
			totals[j] += v
		}
		whole = whole && ok
	}
	return whole
}

// evaluation is the result of one rule over its window.
type evaluation struct {
	rule *Rule
	mean float64 // mean per reporting node within the window
	up   int     // number of nodes asked for; at most Current if none are asked for
	down int     // number of nodes that is enough
	lost int     // nodes that are assumed lost
	full bool    // the nodes are full, so mean is the current load instead of the mean of the window
}

// rounding absorbs floating-point errors, so that an exact multiple of the target does not round up to one more node.
const rounding = 1e-9

// evaluate computes the numbers of nodes from the total of a rule.
func (p *Policy) evaluate(r *Rule, total float64, reporting, current, lost int) evaluation {
	g := evaluation{rule: r, mean: total / float64(max(reporting, 1)), up: current, lost: lost}
	g.down = int(math.Ceil(min(total/(r.Target*(1-p.Down.Tolerance))-rounding, maxNodes)))
	if total/(r.Target*(1+p.Up.Tolerance)) > float64(current-lost)+rounding {
		g.up = lost + int(math.Ceil(min(total/r.Target-rounding, maxNodes)))
	}
	return g
}

// markFull adjusts the evaluation for full nodes. The load beyond full is invisible, so it asks for as many nodes as one step
// allows: too few nodes cost calls, too many cost a few minutes of some machines.
func (g *evaluation) markFull(p *Policy, load float64, current int) {
	g.full, g.mean = true, load
	g.up = max(g.up, current+p.Up.limit(current))
}
