package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/rebalance"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// moving is how a node gets rid of its phones while it runs.
type moving struct {
	*rebalance.Mover

	wanted atomic.Bool   // whether an operator wants the node to drain
	asked  chan struct{} // capacity 1: a signal that wanted may have changed

	mu struct {
		sync.Mutex
		ending bool // the process is about to end: nothing makes the node ready again
	}
}

// drainSignal is a context that ends when the node drains. A node that takes calls again has a new one.
type drainSignal struct {
	mu struct {
		sync.Mutex
		ctx    context.Context //nolint:containedctx // a signal
		cancel context.CancelFunc
	}
}

// Context returns the signal.
func (d *drainSignal) Context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.contextLocked()
}

func (d *drainSignal) contextLocked() context.Context {
	if d.mu.ctx == nil {
		d.mu.ctx, d.mu.cancel = context.WithCancel(context.Background())
	}
	return d.mu.ctx
}

func (d *drainSignal) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.contextLocked()
	d.mu.cancel()
}

func (d *drainSignal) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.ctx = nil
}

func (n *node) openMoving() {
	n.moving = moving{asked: make(chan struct{}, 1), Mover: rebalance.New(rebalance.Options{
		Self: n.word, Nodes: n.cluster.nodes, Recent: n.cluster.recent, Move: n.hubs.phones.Move, Log: n.log,
	})}
}

// drainOnRequest has this node drain when an operator asks: gateways hear that it takes no more calls, then its phones are handed
// over. It goes on with what it has until the operator ends it, or has it take calls again.
func (n *node) drainOnRequest(ctx context.Context) error {
	drains := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.moving.asked:
		}
		wanted := n.moving.wanted.Load()
		if wanted == drains {
			continue
		}
		if drains = wanted; drains {
			n.log.Info("draining, as an operator asked: end this node when it has no more connections, or have it take calls again", "undrain", usage.Program()+" drain --undrain "+n.id)
			n.retire(ctx)
			continue
		}
		n.unretire()
	}
}

// retire tells everything that sends work here to stop.
func (n *node) retire(ctx context.Context) {
	n.ready.Store(false)
	n.watched.AwaitHeard(ctx)
	n.draining.begin()
	n.cluster.announce()
}

// end is retire for a process that is about to end.
func (n *node) end(ctx context.Context) {
	n.moving.mu.Lock()
	n.moving.mu.ending = true
	n.moving.mu.Unlock()
	n.retire(ctx)
}

// unretire takes calls and phones again, unless the process is about to end.
func (n *node) unretire() {
	n.moving.mu.Lock()
	defer n.moving.mu.Unlock()
	if n.moving.mu.ending {
		return
	}
	n.draining.end()
	n.ready.Store(true)
	n.cluster.announce()
	n.log.Info("taking calls and phones again, as an operator asked")
}

// drainNode has a node of the cluster drain, or with drain false take calls again; NotFound: there is none of that name.
// authorization is the administrator's.
func (n *node) drainNode(ctx context.Context, id, authorization string, drain bool) error {
	if id == n.id {
		n.moving.wanted.Store(drain)
		select {
		case n.moving.asked <- struct{}{}:
		default: // it is about to look
		}
		return nil
	}
	for _, other := range n.cluster.nodes() {
		if other.ID == membership.NodeID(id) {
			return passDrainOn(ctx, &other, authorization, drain)
		}
	}
	return esh3ar.Errorf(esh3ar.NotFound, "no node %s", id)
}

// passDrainOn asks a node itself: administrators are the same at all nodes of a database.
func passDrainOn(ctx context.Context, to *membership.Node, authorization string, drain bool) error {
	method := http.MethodPost
	if !drain {
		method = http.MethodDelete
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, to.URL+"/admin/v1/nodes/"+string(to.ID)+"/drain", nil)
	if err != nil {
		return fmt.Errorf("drain node %s: %w", to.ID, err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return esh3ar.Errorf(esh3ar.OutcomeUnknown, "drain node %s: %w", to.ID, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status says enough
		return fmt.Errorf("drain node %s: %d %s", to.ID, resp.StatusCode, text)
	}
	return nil
}
