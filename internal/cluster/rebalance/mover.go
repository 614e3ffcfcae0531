package rebalance

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Options configure a Mover. Self, Nodes, Recent and Move are required.
type Options struct {
	Rules Rules
	Self  func() membership.Node // current status of this node; must not block
	// Nodes returns all nodes with their last known status, Recent only those whose status is current. Both must not block.
	Nodes, Recent func() []membership.Node
	// Move closes n connections with a request to reconnect, rate per second, and returns how many it has closed.
	Move func(ctx context.Context, n, rate int) (int, error)
	Log  *slog.Logger // default: discard
}

// Mover moves phones of one node to others. It works while Run runs.
type Mover struct {
	opts    Options
	moved   atomic.Uint64
	lastWhy string // explanation of the last round; belongs to the goroutine of Run
}

// New returns a Mover.
func New(o Options) *Mover {
	o.Rules = o.Rules.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Mover{opts: o}
}

// Moved returns how many phones were moved since the start.
func (m *Mover) Moved() uint64 { return m.moved.Load() }

// Run performs a round at every interval until ctx ends, and returns nil.
func (m *Mover) Run(ctx context.Context) error {
	ticker := time.NewTicker(m.opts.Rules.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			m.round(ctx)
		}
	}
}

func (m *Mover) round(ctx context.Context) {
	self := m.opts.Self()
	r := m.opts.Rules.Step(self, m.targets(&self))
	if r.Why != m.lastWhy {
		m.logRound(&r, self.Connections)
	}
	m.lastWhy = r.Why
	m.move(ctx, r.Leave, r.Rate)
}

// targets returns the nodes that may accept phones. A draining node must send its phones somewhere. An overloaded node keeps them
// rather than rely on an outdated status.
func (m *Mover) targets(self *membership.Node) []membership.Node {
	if self.Draining {
		return m.opts.Nodes()
	}
	return m.opts.Recent()
}

func (m *Mover) logRound(r *Round, connections int) {
	switch {
	case r.Leave > 0:
		m.opts.Log.Warn("phones are handed over", "why", r.Why, "phones", r.Leave, "per second", r.Rate)
	case r.Why != "":
		m.opts.Log.Warn("phones should leave and stay", "why", r.Why, "moved so far", m.Moved())
	case connections == 0:
		m.opts.Log.Info("no phone is left", "moved so far", m.Moved())
	default:
		m.opts.Log.Info("phones stay", "moved so far", m.Moved())
	}
}

func (m *Mover) move(ctx context.Context, n, rate int) {
	if n == 0 {
		return
	}
	moved, _ := m.opts.Move(ctx, n, rate) // an error means that ctx has ended
	m.moved.Add(uint64(moved))
}

// Drain moves all phones away, as fast as the others can accept them, but fast enough to finish in the given time.
func (m *Mover) Drain(ctx context.Context, within time.Duration) {
	self := m.opts.Self()
	self.Draining = true
	r := m.opts.Rules.Step(self, m.targets(&self))
	m.move(ctx, r.Leave, max(r.Rate, int(float64(r.Leave)/within.Seconds())))
}

// RedirectTarget returns the URL of the node to which a phone should go instead of this one, or "" if it should stay. sent reports
// whether it was redirected here.
func (m *Mover) RedirectTarget(sent bool) string {
	self := m.opts.Self()
	if n := m.opts.Rules.RedirectTarget(self, m.targets(&self), sent); n != nil {
		return n.URL
	}
	return ""
}
