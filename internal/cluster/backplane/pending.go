package backplane

import (
	"errors"
	"sync"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/signalr"
)

// pendingRequests holds the requests of this node that wait for a reply. Each belongs to a waiting caller, which bounds their
// number.
type pendingRequests struct {
	mu   sync.Mutex
	last uint64
	all  map[uint64]*pendingRequest
}

// pendingRequest is one request.
type pendingRequest struct {
	progress chan struct{} // capacity 1; a token means that a node has reported progress
	done     chan outcome  // capacity 1; the first outcome counts

	mu         sync.Mutex
	remaining  map[membership.NodeID]struct{} // nodes that have not said that they lack the connection
	incomplete bool                           // some node could not be reached
}

type outcome struct {
	answer []byte
	err    error
}

func (a *pendingRequests) add(nodes []membership.NodeID) (uint64, *pendingRequest) {
	q := &pendingRequest{progress: make(chan struct{}, 1), done: make(chan outcome, 1), remaining: make(map[membership.NodeID]struct{}, len(nodes))}
	for _, node := range nodes {
		q.remaining[node] = struct{}{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = make(map[uint64]*pendingRequest)
	}
	a.last++
	a.all[a.last] = q
	return a.last, q
}

func (a *pendingRequests) remove(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, id)
}

// find returns the request with an id, or nil if it has ended.
func (a *pendingRequests) find(id uint64) *pendingRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[id]
}

// handleReply handles a frame of another node.
func (q *pendingRequest) handleReply(from membership.NodeID, l *frame) {
	switch l.kind {
	case kindAnswer:
		q.finish(outcome{answer: l.body})
	case kindFailed:
		q.finish(outcome{err: errors.New(string(l.body))})
	case kindNoConnection:
		q.nodeDone(from, false)
	case kindProgress:
		select {
		case q.progress <- struct{}{}:
		default: // noted already
		}
	}
}

// sendFailed records that the transport refused the request for a node.
func (q *pendingRequest) sendFailed(node membership.NodeID) { q.nodeDone(node, true) }

// nodeDone records that a node does not have the connection, or could not be reached if incomplete is set. After the last node the
// request ends.
func (q *pendingRequest) nodeDone(node membership.NodeID, incomplete bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.remaining, node)
	q.incomplete = q.incomplete || incomplete
	switch {
	case len(q.remaining) > 0:
	case q.incomplete:
		q.finish(outcome{err: ErrUnreachable})
	default:
		q.finish(outcome{err: signalr.ErrNoConnection})
	}
}

func (q *pendingRequest) finish(o outcome) {
	select {
	case q.done <- o:
	default: // it has one
	}
}
