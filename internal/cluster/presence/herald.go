package presence

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// HeraldOptions make a Herald; Registry and Word must be given, the zero value of another field means its default.
type HeraldOptions struct {
	Registry Registry
	Word     func() Node                       // what this node says of itself now; must be quick
	Timeout  time.Duration                     // of one call of the registry; default 1 s
	OnPeers  func(joined, left []NodeID)       // after each change of the list; must be quick
	OnTwin   func(Node)                        // another node speaks under this one's id; once for each, must be quick
	OnError  func(operation string, err error) // after each call that failed; must be quick
}

// Herald says that its node lives, again and again, and watches who else does.
type Herald struct {
	opts   HeraldOptions
	said   chan struct{}        // capacity 1: something changed that cannot wait
	ids    []NodeID             // the list as it was last; of Run's goroutine, as are the next two
	spoken bool                 // the registry has had this node's word: what another says under its id is newer
	twin   Node                 // who was told of
	list   atomic.Pointer[list] // never nil
}

// list holds the nodes that the registry returned at one time.
type list struct {
	nodes []Node
	at    time.Time     // when, by this node's clock; zero: no list was read yet
	next  chan struct{} // closed when a newer list is there
}

// NewHerald makes the herald of a node; Run makes it speak.
func NewHerald(o HeraldOptions) *Herald {
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.OnPeers == nil {
		o.OnPeers = func(_, _ []NodeID) {}
	}
	if o.OnTwin == nil {
		o.OnTwin = func(Node) {}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	h := &Herald{opts: o, said: make(chan struct{}, 1)}
	h.list.Store(&list{next: make(chan struct{})})
	return h
}

// Nodes is the list as it was when it could last be had, by id; empty before. It belongs to all who ask: read only.
func (h *Herald) Nodes() []Node {
	return h.list.Load().nodes
}

// Find returns the node with an id. A node that joined a moment ago may be missing from the current list, so Find waits for the next
// one, at most findWait or until ctx ends. It costs the registry nothing: lists are read every NodeEvery in any case.
func (h *Herald) Find(ctx context.Context, id NodeID) (Node, bool) {
	current := h.list.Load()
	if n, ok := current.find(id); ok {
		return n, true
	}
	ctx, cancel := context.WithTimeout(ctx, findWait)
	defer cancel()
	select {
	case <-current.next:
		return h.list.Load().find(id)
	case <-ctx.Done():
		return Node{}, false
	}
}

// findWait bounds the wait for the next list: a list is read every NodeEvery, within a timeout.
const findWait = 2 * NodeEvery

func (l *list) find(id NodeID) (Node, bool) {
	for i := range l.nodes {
		if l.nodes[i].ID == id {
			return l.nodes[i], true
		}
	}
	return Node{}, false
}

// Recent is Nodes without a list that is older than a word stands: none of it may be so any more.
func (h *Herald) Recent() []Node {
	if list := h.list.Load(); time.Since(list.at) <= NodeTTL {
		return list.nodes
	}
	return nil
}

// Say says the node's word at once, as when it begins to drain.
func (h *Herald) Say() { wake(h.said) }

// Run speaks until ctx ends, and then takes the node from the list. It returns nil.
func (h *Herald) Run(ctx context.Context) error {
	ticker := time.NewTicker(NodeEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		h.announce(ctx)
		h.look(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-h.said:
		}
	}
	h.call(context.WithoutCancel(ctx), "leave the registry", h.opts.Registry.Leave)
	return nil
}

func (h *Herald) announce(ctx context.Context) {
	h.call(ctx, "announce this node", func(ctx context.Context) error {
		word := h.opts.Word()
		before, err := h.opts.Registry.Announce(ctx, word)
		if err != nil {
			return err
		}
		if h.spoken && before.ID != "" && !same(before, word) && !same(before, h.twin) {
			h.twin = before
			h.opts.OnTwin(before)
		}
		h.spoken = true
		return nil
	})
}

// look compares the list with the one before. A list that could not be had changes nothing.
func (h *Herald) look(ctx context.Context) {
	h.call(ctx, "list the nodes", func(ctx context.Context) error {
		nodes, err := h.opts.Registry.Nodes(ctx)
		if err != nil {
			return err
		}
		ids := make([]NodeID, len(nodes))
		for i := range nodes {
			ids[i] = nodes[i].ID
		}
		if joined, left := without(ids, h.ids), without(h.ids, ids); len(joined)+len(left) > 0 {
			h.opts.OnPeers(joined, left)
		}
		h.ids = ids
		close(h.list.Swap(&list{nodes, time.Now(), make(chan struct{})}).next)
		return nil
	})
}

// same tells whether two words with one id are of one run of a node.
func same(a, b Node) bool { return a.StartedAt == b.StartedAt && a.URL == b.URL }

// without gives what is in the first list and not in the second.
func without(all, some []NodeID) (rest []NodeID) {
	for _, id := range all {
		if !slices.Contains(some, id) {
			rest = append(rest, id)
		}
	}
	return rest
}

func (h *Herald) call(ctx context.Context, operation string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Timeout)
	defer cancel()
	if err := do(ctx); err != nil {
		h.opts.OnError(operation, err)
	}
}
