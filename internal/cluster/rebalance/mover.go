package rebalance

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Options make a Mover; Self, Nodes, Recent and Move must be given.
type Options struct {
	Rules Rules
	Self  func() membership.Node // as it is now; must be quick
	// Nodes are all, as they last said, and Recent those of whom it is known how they are now; both must be quick.
	Nodes, Recent func() []membership.Node
	// Move closes so many connections with leave to reconnect, rate in a second, and returns how many it has closed.
	Move func(ctx context.Context, n, rate int) (int, error)
	Log  *slog.Logger // default: discards
}

// Mover hands the phones of one node over. Run makes it work.
type Mover struct {
	opts  Options
	moved atomic.Uint64
	why   string // of the round before; of Run's goroutine
}

// New makes one.
func New(o Options) *Mover {
	o.Rules = o.Rules.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Mover{opts: o}
}

// Moved is how many phones were handed over since the start.
func (m *Mover) Moved() uint64 { return m.moved.Load() }

// Run looks again and again until ctx ends, and returns nil.
func (m *Mover) Run(ctx context.Context) error {
	ticker := time.NewTicker(m.opts.Rules.Every)
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
	r := m.opts.Rules.Step(self, m.takers(&self))
	if r.Why != m.why {
		m.say(&r, self.Connections)
	}
	m.why = r.Why
	m.move(ctx, r.Leave, r.Rate)
}

// takers are who may take phones. A node that drains has to send them somewhere; one that is over its load keeps them rather than
// send them to where it was better a while ago.
func (m *Mover) takers(self *membership.Node) []membership.Node {
	if self.Draining {
		return m.opts.Nodes()
	}
	return m.opts.Recent()
}

func (m *Mover) say(r *Round, connections int) {
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
	moved, _ := m.opts.Move(ctx, n, rate) // an error says that ctx has ended
	m.moved.Add(uint64(moved))
}

// Drain hands all phones over, as fast as the others can take them, but so that it takes no longer than within.
func (m *Mover) Drain(ctx context.Context, within time.Duration) {
	self := m.opts.Self()
	self.Draining = true
	r := m.opts.Rules.Step(self, m.takers(&self))
	m.move(ctx, r.Leave, max(r.Rate, int(float64(r.Leave)/within.Seconds())))
}

// Elsewhere is the URL of the node where a phone that comes here, or was sent here, should go instead; empty: it is right here.
func (m *Mover) Elsewhere(sent bool) string {
	self := m.opts.Self()
	if n := m.opts.Rules.Elsewhere(self, m.takers(&self), sent); n != nil {
		return n.URL
	}
	return ""
}
