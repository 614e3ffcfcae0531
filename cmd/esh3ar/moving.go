package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/mover"
	"github.com/esh3artech/esh3ar/internal/route"
)

// moving is how a node gets rid of its phones while it runs.
type moving struct {
	*mover.Mover
	asked chan struct{} // capacity 1: an operator wants the node to drain
}

func (n *node) openMoving() {
	n.moving = moving{asked: make(chan struct{}, 1), Mover: mover.New(mover.Options{
		Self: n.word, Nodes: n.cluster.nodes, Recent: n.cluster.recent, Move: n.hubs.phones.Move, Log: n.log,
	})}
}

// drainOnRequest waits until an operator has this node drain: gateways hear that it takes no more calls, then its phones are
// handed over. It goes on with what it has; who asked ends it when he likes.
func (n *node) drainOnRequest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.moving.asked:
	}
	n.log.Info("draining, as an operator asked: end this node when it has no more connections")
	n.retire(ctx)
	return nil
}

// retire says to all who send work here that they should not any more.
func (n *node) retire(ctx context.Context) {
	n.ready.Store(false)
	n.watched.AwaitHeard(ctx)
	n.drain()
	n.cluster.drain()
}

// drainNode has a node of the cluster drain; NotFound: there is none of that name. authorization is the administrator's.
func (n *node) drainNode(ctx context.Context, id, authorization string) error {
	if id == n.id {
		select {
		case n.moving.asked <- struct{}{}:
		default: // it does already
		}
		return nil
	}
	for _, other := range n.cluster.nodes() {
		if other.ID == route.NodeID(id) {
			return passDrainOn(ctx, &other, authorization)
		}
	}
	return esh3ar.Errorf(esh3ar.NotFound, "no node %s", id)
}

// passDrainOn asks a node itself: administrators are the same at all nodes of a database.
func passDrainOn(ctx context.Context, to *route.Node, authorization string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL+"/admin/v1/nodes/"+string(to.ID)+"/drain", nil)
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
