package autoscale

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Observation is what is known at one moment.
type Observation struct {
	Nodes   []membership.Node   // that live, by what they say of themselves
	Unknown error               // why Nodes is not known; nil: it is
	Current int                 // nodes that there should be now, those that still start included
	Leaving []membership.NodeID // who can be taken away, the first to go first
	Blind   bool                // the target cannot tell who would go: Leaving says nothing
}

// metricValue is what a node says; not ok: nothing that makes sense.
func metricValue(m Metric, n *membership.Node) (v float64, ok bool) {
	switch m {
	case Load:
		v = n.Load
	case Waiting:
		v = float64(n.Waiting)
	case Connections:
		v = float64(n.Connections)
	}
	return v, v >= 0 && !math.IsInf(v, 1) // not a number is not at least 0
}

// sample is one observation in numbers: for each rule of the policy the sum over the nodes.
type sample struct {
	at     time.Time
	totals []float64
	full   int     // nodes that report, where they are full on average; otherwise 0
	load   float64 // of each of these
}

// fullAt is the load at which a node is taken to be full: the gauge of one that is wobbles below 1.
const fullAt = 0.95

// sampleOf adds up. A node that drains counts with what it has to do, which others will have to do next, and not as one
// that will be there.
func (p *Policy) sampleOf(o *Observation, now time.Time) (s sample, reporting int) {
	s = sample{at: now, totals: make([]float64, len(p.Rules))}
	var load, used float64
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if p.add(s.totals, n) && !n.Draining {
			reporting++
			load += n.Load
			used += min(n.Load, 1) // what waits at one is not at the others
		}
	}
	if used >= fullAt*float64(reporting) {
		s.full, s.load = reporting, load/float64(max(reporting, 1))
	}
	return s, reporting
}

// add adds what a node says; not whole: some of it makes no sense.
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

// reading is what a rule makes of the window.
type reading struct {
	rule *Rule
	mean float64 // per node that reports, over the window
	up   int     // nodes that it asks for; at most Current: it asks for nothing
	down int     // nodes that would do
	lost int     // nodes that are not counted on
	full bool    // so the mean is of now: what was before says nothing
}

// slack keeps a sum of floats that should be a whole number of targets from being counted as one node more.
const slack = 1e-9

// reading makes steps of a sum.
func (p *Policy) reading(r *Rule, total float64, reporting, current, lost int) reading {
	g := reading{rule: r, mean: total / float64(max(reporting, 1)), up: current, lost: lost}
	g.down = int(math.Ceil(min(total/(r.Target*(1-p.Down.Tolerance))-slack, maxNodes)))
	if total/(r.Target*(1+p.Up.Tolerance)) > float64(current-lost)+slack {
		g.up = lost + int(math.Ceil(min(total/r.Target-slack, maxNodes)))
	}
	return g
}

// fill makes it the reading of full nodes. How much more than full is asked of them nobody can see, so they ask for as many
// as a step allows: too few nodes cost calls, too many cost some minutes of a few machines.
func (g *reading) fill(p *Policy, load float64, current int) {
	g.full, g.mean = true, load
	g.up = max(g.up, current+p.Up.limit(current))
}
