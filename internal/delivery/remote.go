package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// Remote is the interface to the other nodes. presence.Router implements it.
type Remote interface {
	// Enqueue queues hints for sessions on other nodes and does not wait. It does not keep the slice. False means that some were dropped.
	Enqueue(hints []presence.Hint) bool
	// Changed is called when the recipient's first session on this node has begun or its last has ended. It does not wait.
	Changed(r esh3ar.Recipient)
	// Connected reports which recipients are known to be connected on other nodes, in the given order. False means "unknown", not
	// "offline".
	Connected(ctx context.Context, rs []esh3ar.Recipient) ([]bool, error)
}

// maxPendingComparisons bounds the recipients that wait for a comparison after their presence was asserted. Further ones are left to
// the sweep.
const maxPendingComparisons = 1 << 16

// cluster is the state of an engine that is needed only with other nodes.
type cluster struct {
	remote Remote
	wake   chan struct{} // capacity 1: recipients wait to be compared
	mu     struct {
		sync.Mutex
		asserted []esh3ar.Recipient
	}
}

func newCluster(remote Remote) *cluster {
	return &cluster{remote: remote, wake: make(chan struct{}, 1)}
}

// publishRemote sends the hints of Publish to the other nodes.
func (e *Engine) publishRemote(stored []*esh3ar.Message) {
	hints := make([]presence.Hint, 0, len(stored))
	for _, m := range stored {
		if m.Seq != 0 {
			hints = append(hints, storedHint(m))
		}
	}
	e.notifyRemote(hints)
}

// notifyRemote sends hints to other nodes. If some are dropped, messages of offline recipients may stay Queued.
func (e *Engine) notifyRemote(hints []presence.Hint) {
	if len(hints) > 0 && !e.cluster.remote.Enqueue(hints) {
		e.missedStatuses.markDirty()
	}
}

// compareOnAssert compares recipients with the store as soon as other nodes can see them, until ctx ends.
func (e *Engine) compareOnAssert(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.cluster.wake:
		}
		for batch := e.cluster.takeBatch(); len(batch) > 0 && ctx.Err() == nil; batch = e.cluster.takeBatch() {
			e.compare(ctx, batch)
		}
	}
}

func (f *cluster) takeBatch() []esh3ar.Recipient {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.mu.asserted), sweepBatch)
	batch := f.mu.asserted[:n:n]
	if f.mu.asserted = f.mu.asserted[n:]; len(f.mu.asserted) == 0 {
		f.mu.asserted = nil
	}
	return batch
}

// LocalEndpoint is the engine as a route.Router uses it.
type LocalEndpoint struct{ e *Engine }

// LocalEndpoint returns the engine as the other nodes see it. Options.Remote must be set.
func (e *Engine) LocalEndpoint() LocalEndpoint { return LocalEndpoint{e} }

var _ presence.Engine = LocalEndpoint{}

// HasSession reports whether the recipient has a session on this node.
func (h LocalEndpoint) HasSession(r esh3ar.Recipient) bool { return h.e.sessions.Has(r) }

// ShardRecipients returns the recipients of a shard that have a session on this node.
func (h LocalEndpoint) ShardRecipients(share int) []esh3ar.Recipient {
	return h.e.sessions.Shard(share)
}

// PresenceAsserted records that other nodes can see the recipients from now on. Earlier look-ups by other nodes found no
// session, so they sent no hints, and the sessions may have read the inbox before those commits. So each session is
// compared with the store once.
func (h LocalEndpoint) PresenceAsserted(rs []esh3ar.Recipient) {
	f := h.e.cluster
	f.mu.Lock()
	if len(f.mu.asserted)+len(rs) <= maxPendingComparisons {
		f.mu.asserted = append(f.mu.asserted, rs...)
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// HandleHints passes hints of other nodes to the sessions.
func (h LocalEndpoint) HandleHints(hints []presence.Hint) {
	now := time.Now()
	for i := range hints {
		if ev, ok := eventOf(&hints[i], now); ok {
			h.e.notifySessions(hints[i].Recipient, nil, ev)
		}
	}
}

// RecipientsOffline makes the hinted messages Pending: their recipients are connected to no node.
func (h LocalEndpoint) RecipientsOffline(hints []presence.Hint) {
	now := time.Now()
	absent := make([]esh3ar.Change, len(hints))
	for i := range hints {
		absent[i] = absentChange(&hints[i], now)
	}
	h.e.makePending(absent)
}

// HintsLost records that hints were lost, so that messages of offline recipients may stay Queued.
func (h LocalEndpoint) HintsLost() { h.e.missedStatuses.markDirty() }
