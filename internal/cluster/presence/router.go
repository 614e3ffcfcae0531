package presence

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// LocalSessions is the side of this node's engine that knows who is connected here. Its methods do not wait.
type LocalSessions interface {
	// HasSession tells whether the recipient has a session on this node.
	HasSession(r esh3ar.Recipient) bool
	// ShardRecipients gives the recipients of one of Shares parts that have a session on this node.
	ShardRecipients(share int) []esh3ar.Recipient
	// PresenceAsserted says that recipients have just become visible to other nodes: what they should have is to be compared
	// with the store.
	PresenceAsserted(rs []esh3ar.Recipient)
}

// HintHandler is the side of this node's engine that takes what comes of hints. Its methods do not wait, and keep no slice.
type HintHandler interface {
	// HandleHints gives hints of other nodes for recipients who are held here, or were a moment ago.
	HandleHints(hints []Hint)
	// RecipientsOffline gives hints of stored messages whose recipients were connected nowhere.
	RecipientsOffline(hints []Hint)
	// HintsLost says that hints were lost and nobody found out where their recipients are, or that they are nowhere.
	HintsLost()
}

// Engine is this node's engine.
type Engine interface {
	LocalSessions
	HintHandler
}

// Options make a Router; Self, Presence and Hints must be given, the zero value of another field means its default.
type Options struct {
	Self     membership.NodeID
	Presence Presence
	Hints    Hints
	Limits   Limits
	Timeout  time.Duration                     // of one call of Presence or Hints; default 2 s
	OnError  func(operation string, err error) // after each call that failed; must be quick
}

// Router joins a node to the others. Run makes it work; what it is told before waits.
type Router struct {
	opts          Options
	hintsReady    chan struct{} // there are hints to route; full: it is known already
	presenceDirty chan struct{} // there is presence to say; the same
	mu            struct {
		sync.Mutex
		state *RouterState
	}
}

// NewRouter makes the router of a node.
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

// Enqueue takes hints for other nodes and does not wait. They are copied; their messages must not change any more. False:
// some found no room and are lost.
func (r *Router) Enqueue(hints []Hint) bool {
	r.mu.Lock()
	all := r.mu.state.Enqueue(hints)
	r.mu.Unlock()
	wake(r.hintsReady)
	return all
}

// Changed says that the recipient's first session on this node has begun, or its last has ended.
func (r *Router) Changed(recipient esh3ar.Recipient) {
	r.mu.Lock()
	r.mu.state.Changed(recipient)
	r.mu.Unlock()
	wake(r.presenceDirty)
}

// Connected tells which recipients are known to be connected on other nodes. False is no word that they are not.
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

// Stats reads the counts.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.Stats()
}

// Run works for the engine until ctx ends. Then it sends what it was told, takes back what it said, and returns.
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

// failed reports an error, if it is one.
func (r *Router) failed(operation string, err error) {
	if err != nil {
		r.opts.OnError(operation, err)
	}
}

// lookUpNodes looks recipients up.
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

// hasSessions asks the engine for several.
func hasSessions(engine LocalSessions, rs []esh3ar.Recipient) []bool {
	held := make([]bool, len(rs))
	for i, recipient := range rs {
		held[i] = engine.HasSession(recipient)
	}
	return held
}
