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

// moving moves phones to other nodes while this one runs: some if it is overloaded, all if it drains.
type moving struct {
	*rebalance.Mover

	wanted atomic.Bool   // whether an operator wants the node to drain
	asked  chan struct{} // capacity 1; signals that wanted may have changed

	mu struct {
		sync.Mutex
		ending bool // set when the process is about to end; the node does not become ready again
	}
}

// drainSignal is a context that is canceled when the node drains. A node that takes calls again gets a new one.
type drainSignal struct {
	mu struct {
		sync.Mutex
		ctx    context.Context //nolint:containedctx // a signal
		cancel context.CancelFunc
	}
}

// Context returns the current context.
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
		Self: n.status, Nodes: n.cluster.nodes, Recent: n.cluster.recent, Move: n.hubs.phones.Move, Log: n.log,
	})}
}

// drainOnRequest drains this node when an operator asks: gateways stop sending calls, then the phones are handed over. The node keeps
// working on what it has until the operator stops it or undrains it.
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
		drains = wanted
		if drains {
			n.log.Info("draining, as an operator asked: end this node when it has no more connections, or have it take calls again", "undrain", usage.Program()+" drain --undrain "+n.id)
			n.retire(ctx)
			continue
		}
		n.unretire()
	}
}

// retire makes gateways, balancers and other nodes stop sending work here.
func (n *node) retire(ctx context.Context) {
	n.ready.Store(false)
	n.watched.WaitUntilObserved(ctx)
	n.draining.begin()
	n.cluster.announce()
}

// beginDrain is retire for a process that is about to end; it cannot be undone.
func (n *node) beginDrain(ctx context.Context) {
	n.moving.mu.Lock()
	n.moving.mu.ending = true
	n.moving.mu.Unlock()
	n.retire(ctx)
}

// unretire makes the node take calls and phones again, unless the process is about to end.
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

// drainNode drains a node of the cluster, or undrains it if drain is false. authorization is the header of the operator's call. The
// error is NotFound if no node has the id.
func (n *node) drainNode(ctx context.Context, id, authorization string, drain bool) error {
	if id == n.id {
		n.moving.wanted.Store(drain)
		select {
		case n.moving.asked <- struct{}{}:
		default: // a signal is pending already
		}
		return nil
	}
	for _, other := range n.cluster.nodes() {
		if other.ID == membership.NodeID(id) {
			return forwardDrain(ctx, &other, authorization, drain)
		}
	}
	return esh3ar.Errorf(esh3ar.NotFound, "no node %s", id)
}

// forwardDrain forwards the call to the node itself. All nodes of a database have the same admin token.
func forwardDrain(ctx context.Context, to *membership.Node, authorization string, drain bool) error {
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
