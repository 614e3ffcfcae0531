package presence

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// routeHints sends hints until ctx ends, and then what is left. What is under way when ctx ends is not broken off.
func (r *Router) routeHints(ctx context.Context, engine Engine) {
	work := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.hintsReady:
			for ctx.Err() == nil && r.routeBatch(work, engine) {
			}
		}
	}
	last, cancel := context.WithTimeout(work, r.opts.Timeout)
	defer cancel()
	for last.Err() == nil && r.routeBatch(last, engine) {
	}
}

// routeBatch sends one batch; false: nothing waits.
func (r *Router) routeBatch(ctx context.Context, engine Engine) bool {
	asked := r.lookUp()
	if asked == nil {
		return false
	}
	nodes, err := r.lookUpNodes(ctx, asked)
	routed := r.resolveTargets(nodes, hasSessions(engine, asked), err)
	wake(r.presenceDirty) // an entry of our own may have turned out to be stale
	if routed.LookupFailed {
		engine.HintsLost()
	}
	if len(routed.Offline) > 0 {
		engine.RecipientsOffline(routed.Offline)
	}
	r.send(ctx, routed.Batches)
	return true
}

func (r *Router) lookUp() []esh3ar.Recipient {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.LookUp()
}

func (r *Router) resolveTargets(nodes [][]membership.NodeID, held []bool, err error) RoutingResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.ResolveTargets(nodes, held, err)
}

// maxSenders bounds the calls that send parcels; nodes beyond it wait for one of them.
const maxSenders = 16

// send hands the parcels over, to all nodes at a time: a slow one holds up the next batch, and no other node.
func (r *Router) send(ctx context.Context, parcels []NodeBatch) {
	if len(parcels) == 1 {
		r.sendOne(ctx, &parcels[0])
		return
	}
	var group errgroup.Group
	group.SetLimit(maxSenders)
	for i := range parcels {
		group.Go(func() error { r.sendOne(ctx, &parcels[i]); return nil })
	}
	_ = group.Wait() // what failed is reported where it did
}

func (r *Router) sendOne(ctx context.Context, p *NodeBatch) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	err := r.opts.Hints.Send(ctx, p.To, p.Hints)
	r.failed("send hints", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.state.Sent(p, err)
}

// receiveRetryDelay is the pause before a transport that gave up receiving is asked again.
const receiveRetryDelay = time.Second

// receiveHints takes hints of other nodes until ctx ends.
func (r *Router) receiveHints(ctx context.Context, engine Engine) {
	for ctx.Err() == nil {
		err := r.opts.Hints.Receive(ctx, func(hints []Hint) { r.handleHints(hints, engine) })
		if ctx.Err() != nil {
			return
		}
		r.failed("receive hints", err)
		select {
		case <-ctx.Done():
		case <-time.After(receiveRetryDelay):
		}
	}
}

func (r *Router) handleHints(hints []Hint, engine Engine) {
	held := make([]bool, len(hints))
	for i := range hints {
		held[i] = engine.HasSession(hints[i].Recipient)
	}
	r.mu.Lock()
	here, lost := r.mu.state.Receive(hints, held)
	r.mu.Unlock()
	if lost {
		engine.HintsLost()
	}
	if len(here) > 0 {
		engine.HandleHints(here)
	}
	if len(here) < len(hints) {
		wake(r.hintsReady)
		wake(r.presenceDirty)
	}
}
