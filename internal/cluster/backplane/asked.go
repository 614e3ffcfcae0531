package backplane

import (
	"errors"
	"sync"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/signalr"
)

// asked holds the requests of this node that wait for their answer. Each belongs to a caller who waits, so that there are
// no more than callers.
type asked struct {
	mu   sync.Mutex
	last uint64
	all  map[uint64]*question
}

// question is one request.
type question struct {
	beats chan struct{} // of one: somebody works on it
	done  chan outcome  // of one: the first outcome counts

	mu     sync.Mutex
	left   map[membership.NodeID]struct{} // have not said that they do not hold the connection
	unsure bool                           // some node could not be asked
}

type outcome struct {
	answer []byte
	err    error
}

func (a *asked) open(nodes []membership.NodeID) (uint64, *question) {
	q := &question{beats: make(chan struct{}, 1), done: make(chan outcome, 1), left: make(map[membership.NodeID]struct{}, len(nodes))}
	for _, node := range nodes {
		q.left[node] = struct{}{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = make(map[uint64]*question)
	}
	a.last++
	a.all[a.last] = q
	return a.last, q
}

func (a *asked) close(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, id)
}

// find gives nil for a request that nobody waits for any more.
func (a *asked) find(id uint64) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[id]
}

// hear takes what a node says.
func (q *question) hear(from membership.NodeID, l *letter) {
	switch l.kind {
	case kindAnswer:
		q.end(outcome{answer: l.body})
	case kindFailed:
		q.end(outcome{err: errors.New(string(l.body))})
	case kindAbsent:
		q.without(from, false)
	case kindWorking:
		select {
		case q.beats <- struct{}{}:
		default: // noted already
		}
	}
}

// lost says that a node could not be asked.
func (q *question) lost(node membership.NodeID) { q.without(node, true) }

func (q *question) without(node membership.NodeID, unsure bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.left, node)
	q.unsure = q.unsure || unsure
	switch {
	case len(q.left) > 0:
	case q.unsure:
		q.end(outcome{err: ErrAway})
	default:
		q.end(outcome{err: signalr.ErrNoConnection})
	}
}

func (q *question) end(o outcome) {
	select {
	case q.done <- o:
	default: // it has one
	}
}
