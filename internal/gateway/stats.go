package gateway

import (
	"errors"

	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// counts are counters since the start.
type counts struct {
	full                 uint64 // calls refused because no slot was free
	share                uint64 // calls refused because their owner was at its share
	retryBudgetExhausted uint64 // retries not made because the retry budget was exhausted
	retries              uint64 // retries at another node
	unknown              uint64 // calls answered outcome_unknown
	noNode               uint64 // calls refused because no node was available
}

// note counts the reason why a call got no slot.
func (c *counts) note(why error) {
	if errors.Is(why, errShare) {
		c.share++
	} else {
		c.full++
	}
}

// Stats are the gauges of a gateway and its counters since the start.
type Stats struct {
	Nodes   []NodeStats
	Waiting int     // queued calls
	Budget  float64 // retries that the budget allows now

	Full, Share, RetryBudgetExhausted, Retries, Unknown, NoNode uint64
	Panics                                                      uint64            // recovered panics
	Pools                                                       []fairshare.Stats // pools of large calls and of memory
}

// NodeStats are the gauges and counters of one node.
type NodeStats struct {
	balance.Report
	Idle int // idle connections
}

// Stats returns the current gauges and counters.
func (g *Gateway) Stats() Stats {
	d := g.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	c := d.mu.counts
	s := Stats{
		Waiting: d.mu.queue.length, Budget: d.mu.budget.Remaining(now), Full: c.full, Share: c.share, RetryBudgetExhausted: c.retryBudgetExhausted, Retries: c.retries, Unknown: c.unknown, NoNode: c.noNode,
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
