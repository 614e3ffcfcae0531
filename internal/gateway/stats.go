package gateway

import (
	"errors"

	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// counts are since the start.
type counts struct {
	full                 uint64 // calls for which there was no slot
	share                uint64 // calls whose owner had its share of the slots
	retryBudgetExhausted uint64 // retries not made because the retry budget was exhausted
	repeats              uint64 // calls that were tried again at another node
	unknown              uint64 // calls answered outcome_unknown
	nobody               uint64 // calls for which there was no node
}

// note counts why a call has no seat.
func (c *counts) note(why error) {
	if errors.Is(why, errShare) {
		c.share++
	} else {
		c.full++
	}
}

// Stats are how a gateway stands, and its counts since the start.
type Stats struct {
	Nodes   []NodeStats
	Waiting int     // calls in line
	Budget  float64 // repeats that it allows now

	Full, Share, RetryBudgetExhausted, Repeats, Unknown, Nobody uint64
	Panics                                                      uint64            // faults of this program that ended a connection
	Pools                                                       []fairshare.Stats // of large calls and of the memory for bodies and answers
}

// NodeStats are how a node stands, seen from here.
type NodeStats struct {
	balance.Report
	Idle int // connections that are kept
}

// Stats is how things stand.
func (g *Gateway) Stats() Stats {
	d := g.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	c := d.mu.counts
	s := Stats{
		Waiting: d.mu.line.length, Budget: d.mu.budget.Remaining(now), Full: c.full, Share: c.share, RetryBudgetExhausted: c.retryBudgetExhausted, Repeats: c.repeats, Unknown: c.unknown, Nobody: c.nobody,
		Panics: g.panics.Load(), Pools: []fairshare.Stats{g.large.Stats(), g.memory.proven.Stats(), g.memory.strangers.Stats()},
	}
	nodes := d.mu.balancer.Nodes()
	for i, report := range d.mu.balancer.Report(now) {
		s.Nodes = append(s.Nodes, NodeStats{report, d.mu.pools[nodes[i]].Idle()})
	}
	return s
}

func (d *dispatch) count(which func(*counts)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	which(&d.mu.counts)
}
