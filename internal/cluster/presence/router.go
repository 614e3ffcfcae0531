package presence

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// LocalSessions is the part of this node's engine that knows its sessions. Its methods do not block.
type LocalSessions interface {
	// HasSession reports whether the recipient has a session on this node.
	HasSession(r esh3ar.Recipient) bool
	// ShardRecipients returns the recipients of one shard, 0 to Shards-1, that have a session on this node.
	ShardRecipients(share int) []esh3ar.Recipient
	// PresenceAsserted reports recipients that have just become visible to other nodes. The engine compares their counters with the
	// store.
	PresenceAsserted(rs []esh3ar.Recipient)
}

// HintHandler is the part of this node's engine that handles the results of routing. Its methods do not block, and do not keep the
// slices.
type HintHandler interface {
	// HandleHints passes hints of other nodes for recipients that have a session on this node, or had one a moment ago.
	HandleHints(hints []Hint)
	// RecipientsOffline passes hints of stored messages whose recipients have no connection on any node.
	RecipientsOffline(hints []Hint)
	// HintsLost reports that hints were lost before their recipients were found, or found to be offline.
	HintsLost()
}

// Engine is the engine of this node.
type Engine interface {
	LocalSessions
	HintHandler
}

// Options configure a Router. Self, Presence and Hints are required; the zero value of any other field selects its default.
type Options struct {
	Self     membership.NodeID
	Presence Presence
	Hints    Hints
	Limits   Limits
	Timeout  time.Duration                     // limit of one call of Presence or Hints; default 2 s
	OnError  func(operation string, err error) // called after each failed call; must not block
}

// Router connects a node to the others. It works while Run runs; hints that are enqueued earlier wait.
type Router struct {
	opts          Options
	hintsReady    chan struct{} // capacity 1; a token means that the outbox may hold hints
	presenceDirty chan struct{} // capacity 1; a token means that the dirty set may hold recipients
	mu            struct {
		sync.Mutex
		state *RouterState
	}
}

// NewRouter returns the router of a node.
func NewRouter(opts Options) *Router {
	if opts.Timeout == 0 {
		opts.Timeout = 2 * time.Second
	}
	if opts.OnError == nil {
		opts.OnError = func(string, error) {}
	}
	r := &Router{opts: opts, hintsReady: make(chan struct{}, 1), presenceDirty: make(chan struct{}, 1)}
	r.mu.state = NewRouterState(opts.Self, opts.Limits)
	return r
}

// Enqueue queues hints for other nodes and does not block. The hints are copied, and their messages must not change afterwards. It
// reports whether all of them fitted; the rest are lost.
func (r *Router) Enqueue(hints []Hint) bool {
	r.mu.Lock()
	all := r.mu.state.Enqueue(hints)
	r.mu.Unlock()
	wake(r.hintsReady)
	return all
}

// Changed records that the recipient's first session on this node has begun or its last session has ended.
func (r *Router) Changed(recipient esh3ar.Recipient) {
	r.mu.Lock()
	r.mu.state.Changed(recipient)
	r.mu.Unlock()
	wake(r.presenceDirty)
}

// Connected reports for each recipient whether it is known to be connected on another node. False means unknown, not offline.
func (r *Router) Connected(ctx context.Context, rs []esh3ar.Recipient) ([]bool, error) {
	nodes, err := r.lookUpNodes(ctx, rs)
	if err != nil {
		return nil, err
	}
	connected := make([]bool, len(rs))
	for i := range nodes {
		for _, node := range nodes[i] {
			connected[i] = connected[i] || node != r.opts.Self
		}
	}
	return connected, nil
}

// Stats returns the counters.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.Stats()
}

// Run routes hints and publishes presence until ctx ends. Then it sends the queued hints, retracts the presence of this node, and
// returns nil.
func (r *Router) Run(ctx context.Context, engine Engine) error {
	var group errgroup.Group
	group.Go(func() error { r.routeHints(ctx, engine); return nil })
	group.Go(func() error { r.publishPresence(ctx, engine); return nil })
	group.Go(func() error { r.receiveHints(ctx, engine); return nil })
	return group.Wait()
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// failed calls OnError if err is not nil.
func (r *Router) failed(operation string, err error) {
	if err != nil {
		r.opts.OnError(operation, err)
	}
}

// lookUpNodes asks presence for the nodes of the recipients.
func (r *Router) lookUpNodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	nodes, err := r.opts.Presence.Nodes(ctx, rs)
	if err == nil && len(nodes) != len(rs) {
		err = errWrongCount
	}
	r.failed("look presence up", err)
	return nodes, err
}

// hasSessions reports for each recipient whether it has a session on this node.
func hasSessions(engine LocalSessions, rs []esh3ar.Recipient) []bool {
	held := make([]bool, len(rs))
	for i, recipient := range rs {
		held[i] = engine.HasSession(recipient)
	}
	return held
}
