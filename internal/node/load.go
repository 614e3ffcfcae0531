package node

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

// loadGauge measures the load of a node once a second: one score for the registry, metrics, admission and scaling.
type loadGauge struct {
	node       *node
	system     sysload.System
	queue      sysload.RunQueue
	meter      *flow.LoadMeter
	current    atomic.Pointer[flow.Load]
	messages   atomic.Uint64
	commits    atomic.Uint64
	committing atomic.Int64 // nanoseconds
	api        atomic.Int64 // connections of net/http
}

func newLoadGauge(n *node) *loadGauge {
	g := &loadGauge{node: n, system: sysload.Linux()}
	g.meter = flow.NewLoadMeter(n.config.capacity(g.system, n.config.most(n.config.budget(sysload.MaxFiles()))))
	g.current.Store(&flow.Load{})
	return g
}

func (g *loadGauge) load() flow.Load { return *g.current.Load() }

func (g *loadGauge) committed(info ingest.CommitInfo) {
	g.messages.Add(uint64(info.Messages + info.Spilled))
	g.commits.Add(1)
	g.committing.Add(int64(info.Took))
}

// connection counts the connections that net/http holds. Hijacked connections are counted by their new owner.
func (g *loadGauge) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		g.api.Add(1)
	case http.StateClosed, http.StateHijacked:
		g.api.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// run measures once a second until ctx ends.
func (g *loadGauge) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		load := g.meter.Step(g.usage())
		g.current.Store(&load)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *loadGauge) usage() flow.Usage {
	u := flow.Usage{
		At: time.Now(), CPU: sysload.CPU(), Messages: g.messages.Load(), Memory: g.system.Memory(), Commits: g.commits.Load(),
		Committing: time.Duration(g.committing.Load()), Connections: int(g.api.Load()) + g.node.hubs.connections(),
	}
	f := g.node.intake.Admission()
	u.Queue, u.QueueLimit = f.InFlight+f.Waiting, f.Limit
	return u
}
