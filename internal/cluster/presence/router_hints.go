package presence

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
)

// routeAll sends hints until ctx ends, and then what is left. What is under way when ctx ends is not broken off.
func (r *Router) routeAll(ctx context.Context, engine Engine) {
	work := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.outward:
			for ctx.Err() == nil && r.route(work, engine) {
			}
		}
	}
	last, cancel := context.WithTimeout(work, r.opts.Timeout)
	defer cancel()
	for last.Err() == nil && r.route(last, engine) {
	}
}

// route sends one batch; false: nothing waits.
func (r *Router) route(ctx context.Context, engine Engine) bool {
	asked := r.lookUp()
	if asked == nil {
		return false
	}
	nodes, err := r.nodes(ctx, asked)
	routed := r.found(nodes, holds(engine, asked), err)
	wake(r.changed) // an entry of our own may have turned out to be stale
	if routed.Unlooked {
		engine.Unrouted()
	}
	if len(routed.Absent) > 0 {
		engine.Absent(routed.Absent)
	}
	r.send(ctx, routed.Parcels)
	return true
}

func (r *Router) lookUp() []esh3ar.Recipient {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.board.LookUp()
}

func (r *Router) found(nodes [][]NodeID, held []bool, err error) Routed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.board.Found(nodes, held, err)
}

// sendersAtOnce bounds the calls that send parcels; nodes beyond it wait for one of them.
const sendersAtOnce = 16

// send hands the parcels over, to all nodes at a time: a slow one holds up the next batch, and no other node.
func (r *Router) send(ctx context.Context, parcels []Parcel) {
	if len(parcels) == 1 {
		r.sendOne(ctx, &parcels[0])
		return
	}
	var group errgroup.Group
	group.SetLimit(sendersAtOnce)
	for i := range parcels {
		group.Go(func() error { r.sendOne(ctx, &parcels[i]); return nil })
	}
	_ = group.Wait() // what failed is reported where it did
}

func (r *Router) sendOne(ctx context.Context, p *Parcel) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	err := r.opts.Hints.Send(ctx, p.To, p.Hints)
	r.failed("send hints", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.board.Sent(p, err)
}

// receiveAgain is the pause before a transport that gave up receiving is asked again.
const receiveAgain = time.Second

// receiveAll takes hints of other nodes until ctx ends.
func (r *Router) receiveAll(ctx context.Context, engine Engine) {
	for ctx.Err() == nil {
		err := r.opts.Hints.Receive(ctx, func(hints []Hint) { r.receive(hints, engine) })
		if ctx.Err() != nil {
			return
		}
		r.failed("receive hints", err)
		select {
		case <-ctx.Done():
		case <-time.After(receiveAgain):
		}
	}
}

func (r *Router) receive(hints []Hint, engine Engine) {
	held := make([]bool, len(hints))
	for i := range hints {
		held[i] = engine.Holds(hints[i].Recipient)
	}
	r.mu.Lock()
	here, lost := r.mu.board.Receive(hints, held)
	r.mu.Unlock()
	if lost {
		engine.Unrouted()
	}
	if len(here) > 0 {
		engine.Heard(here)
	}
	if len(here) < len(hints) {
		wake(r.outward)
		wake(r.changed)
	}
}
