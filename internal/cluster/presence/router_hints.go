package presence

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// routeHints routes hints until ctx ends, then those that are left in the outbox. Calls in progress when ctx ends are not canceled.
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

// routeBatch routes one batch of hints. It reports whether there was one.
func (r *Router) routeBatch(ctx context.Context, engine Engine) bool {
	asked := r.lookUp()
	if asked == nil {
		return false
	}
	nodes, err := r.lookUpNodes(ctx, asked)
	routed := r.resolveTargets(nodes, hasSessions(engine, asked), err)
	wake(r.presenceDirty) // the lookup may have found a stale entry of this node
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

// maxSenders bounds the concurrent calls that send batches; further nodes wait for one of them to finish.
const maxSenders = 16

// send sends the batches to all nodes concurrently. A slow node delays the next round but no other node.
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
	_ = group.Wait() // every error was reported by sendOne
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

// receiveRetryDelay is the pause before Receive is called again after it has failed.
const receiveRetryDelay = time.Second

// receiveHints receives hints of other nodes until ctx ends.
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
