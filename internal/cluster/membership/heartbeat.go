package membership

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Options configure a Heartbeat. Registry and Status are required; the zero value of any other field selects its default.
type Options struct {
	Registry      Registry
	Status        func() Node                       // returns the current status of this node; must not block
	Timeout       time.Duration                     // limit of one registry call; default 1 s
	OnPeers       func(joined, left []NodeID)       // called after each change of the list; must not block
	OnDuplicateID func(Node)                        // called once per other process that announces itself under this node's id; must not block
	OnError       func(operation string, err error) // called after each failed call; must not block
}

// Heartbeat announces its node at every Interval and watches the list of nodes.
type Heartbeat struct {
	opts        Options
	announceNow chan struct{}            // capacity 1; a token asks Run to announce without waiting for the next tick
	list        atomic.Pointer[nodeList] // never nil

	// The fields below belong to the goroutine of Run.

	ids       []NodeID // ids of the last list, sorted
	announced bool     // this process has announced itself once, so a different entry under its id was written by another process
	duplicate Node     // last process that was reported to OnDuplicateID
}

// awaitLimit bounds how long Await waits. A list is read every Interval, so two newer ones arrive within it.
const awaitLimit = 2*Interval + Interval/2

// nodeList holds the nodes that the registry returned at one time.
type nodeList struct {
	nodes []Node
	at    time.Time     // when the list was read, by this node's clock; zero if none was read yet
	next  chan struct{} // closed when a newer list is available
}

func (l *nodeList) find(id NodeID) (Node, bool) {
	for i := range l.nodes {
		if l.nodes[i].ID == id {
			return l.nodes[i], true
		}
	}
	return Node{}, false
}

// NewHeartbeat returns the heartbeat of a node. It starts with Run.
func NewHeartbeat(o Options) *Heartbeat {
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.OnPeers == nil {
		o.OnPeers = func(_, _ []NodeID) {}
	}
	if o.OnDuplicateID == nil {
		o.OnDuplicateID = func(Node) {}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	h := &Heartbeat{opts: o, announceNow: make(chan struct{}, 1)}
	h.list.Store(&nodeList{next: make(chan struct{})})
	return h
}

// Nodes returns the last list that was read, sorted by id, or nil if none was read yet. Callers share the slice and must not change it.
func (h *Heartbeat) Nodes() []Node {
	return h.list.Load().nodes
}

// Lookup returns the node with an id from the last list that was read.
func (h *Heartbeat) Lookup(id NodeID) (Node, bool) { return h.list.Load().find(id) }

// Await returns the node with an id. A node that joined a moment ago may be missing from the current list, and from the next one if that
// was being read as the node joined, so Await waits for newer lists, at most awaitLimit and at most until ctx ends. It makes no registry
// call of its own.
func (h *Heartbeat) Await(ctx context.Context, id NodeID) (Node, bool) {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	for {
		current := h.list.Load()
		if n, ok := current.find(id); ok {
			return n, true
		}
		select {
		case <-current.next:
		case <-ctx.Done():
			return Node{}, false
		}
	}
}

// Recent returns the same list as Nodes if it is at most TTL old, and nil otherwise: every entry of an older list may have expired.
func (h *Heartbeat) Recent() []Node {
	if list := h.list.Load(); time.Since(list.at) <= TTL {
		return list.nodes
	}
	return nil
}

// AnnounceNow announces the status without waiting for the next interval, for example when the node begins to drain. It does not block.
func (h *Heartbeat) AnnounceNow() {
	select {
	case h.announceNow <- struct{}{}:
	default: // an announcement is already requested
	}
}

// Run announces the node until ctx ends, then removes it from the list. It returns nil.
func (h *Heartbeat) Run(ctx context.Context) error {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		h.announce(ctx)
		h.refresh(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-h.announceNow:
		}
	}
	h.call(context.WithoutCancel(ctx), "leave the registry", h.opts.Registry.Leave)
	return nil
}

// announce writes the node's status and checks whether another process has overwritten the previous one.
func (h *Heartbeat) announce(ctx context.Context) {
	h.call(ctx, "announce this node", func(ctx context.Context) error {
		status := h.opts.Status()
		before, err := h.opts.Registry.Announce(ctx, status)
		if err != nil {
			return err
		}
		if h.announced && before.ID != "" && !sameProcess(before, status) && !sameProcess(before, h.duplicate) {
			h.duplicate = before
			h.opts.OnDuplicateID(before)
		}
		h.announced = true
		return nil
	})
}

// refresh reads the list and reports the difference from the previous one. If the read fails, the previous list stays.
func (h *Heartbeat) refresh(ctx context.Context) {
	h.call(ctx, "list the nodes", func(ctx context.Context) error {
		nodes, err := h.opts.Registry.Nodes(ctx)
		if err != nil {
			return err
		}
		ids := make([]NodeID, len(nodes))
		for i := range nodes {
			ids[i] = nodes[i].ID
		}
		joined := difference(ids, h.ids)
		left := difference(h.ids, ids)
		if len(joined) > 0 || len(left) > 0 {
			h.opts.OnPeers(joined, left)
		}
		h.ids = ids
		previous := h.list.Swap(&nodeList{nodes: nodes, at: time.Now(), next: make(chan struct{})})
		close(previous.next)
		return nil
	})
}

// sameProcess reports whether two announcements under one id come from the same run of a node.
func sameProcess(a, b Node) bool { return a.StartedAt == b.StartedAt && a.URL == b.URL }

// difference returns the ids of a that are not in b.
func difference(a, b []NodeID) []NodeID {
	var ids []NodeID
	for _, id := range a {
		if !slices.Contains(b, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (h *Heartbeat) call(ctx context.Context, operation string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Timeout)
	defer cancel()
	if err := do(ctx); err != nil {
		h.opts.OnError(operation, err)
	}
}
