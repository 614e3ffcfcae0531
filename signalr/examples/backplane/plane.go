package main

import (
	"context"
	"errors"
	"sync"

	"github.com/esh3artech/esh3ar/signalr"
)

// plane joins the servers of one process. Between processes the bytes go over Redis, NATS or whatever the nodes share; what arrives
// is handed to Deliver and Answer of each server in the same way.
type plane struct {
	mu    sync.Mutex
	nodes []*signalr.Server
}

// add joins a server.
func (p *plane) add(s *signalr.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, s)
}

// nodePlane is the backplane of one server: it reaches the others.
type nodePlane struct {
	shared *plane
	self   *signalr.Server
}

func (n *nodePlane) others() (all []*signalr.Server) {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	for _, s := range n.shared.nodes {
		if s != n.self {
			all = append(all, s)
		}
	}
	return all
}

// Publish implements signalr.Backplane.
func (n *nodePlane) Publish(ctx context.Context, _ signalr.Target, message []byte) error {
	var failed []error
	for _, s := range n.others() {
		failed = append(failed, s.Deliver(ctx, message))
	}
	return errors.Join(failed...)
}

// Request implements signalr.Backplane.
func (n *nodePlane) Request(ctx context.Context, connectionID string, message []byte) ([]byte, error) {
	for _, s := range n.others() {
		if s.Conn(connectionID) != nil {
			return s.Answer(ctx, message)
		}
	}
	return nil, signalr.ErrNoConnection
}
