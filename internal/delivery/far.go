package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// Remote is the rest of the cluster, as the engine needs it. A route.Router is one.
type Remote interface {
	// Enqueue takes hints for sessions on other nodes, and does not wait. The slice is not kept; messages in it never change.
	// False: some were dropped.
	Enqueue(hints []presence.Hint) bool
	// Changed says that the recipient's first session on this node has begun, or its last has ended. It does not wait.
	Changed(r esh3ar.Recipient)
	// Connected tells which recipients are known to be connected on other nodes, in the order asked. False is no word that
	// they are not.
	Connected(ctx context.Context, rs []esh3ar.Recipient) ([]bool, error)
}

// assertedLimit bounds the recipients whose counters wait to be compared behind their assertion. Beyond it they are
// forgotten, and the sweep compares them.
const assertedLimit = 1 << 16

// far is what an engine has besides when other nodes are there.
type far struct {
	remote Remote
	wake   chan struct{} // recipients wait; full: it is known already
	mu     struct {
		sync.Mutex
		asserted []esh3ar.Recipient
	}
}

func newFar(remote Remote) *far { return &far{remote: remote, wake: make(chan struct{}, 1)} }

// publishFar is Publish for the other nodes.
func (e *Engine) publishFar(stored []*esh3ar.Message) {
	hints := make([]presence.Hint, 0, len(stored))
	for _, m := range stored {
		if m.Seq != 0 {
			hints = append(hints, storedHint(m))
		}
	}
	e.tellFar(hints)
}

// tellFar sends hints to other nodes. Those that are dropped may be of absent recipients, whose messages then stay queued.
func (e *Engine) tellFar(hints []presence.Hint) {
	if len(hints) > 0 && !e.far.remote.Enqueue(hints) {
		e.missed.note()
	}
}

// compareAsserted compares recipients with the store as soon as other nodes can see them, until ctx ends.
func (e *Engine) compareAsserted(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.far.wake:
		}
		for batch := e.far.takeAsserted(); len(batch) > 0 && ctx.Err() == nil; batch = e.far.takeAsserted() {
			e.compare(ctx, batch)
		}
	}
}

func (f *far) takeAsserted() []esh3ar.Recipient {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.mu.asserted), sweepBatch)
	batch := f.mu.asserted[:n:n]
	if f.mu.asserted = f.mu.asserted[n:]; len(f.mu.asserted) == 0 {
		f.mu.asserted = nil
	}
	return batch
}

// Here is the engine as a route.Router uses it.
type Here struct{ e *Engine }

// Here gives the engine's side towards the other nodes; Options.Remote must be there.
func (e *Engine) Here() Here { return Here{e} }

var _ presence.Engine = Here{}

// HasSession tells whether the recipient has a session here.
func (h Here) HasSession(r esh3ar.Recipient) bool { return h.e.sessions.Has(r) }

// ShardRecipients gives a share of the recipients that have one.
func (h Here) ShardRecipients(share int) []esh3ar.Recipient { return h.e.sessions.Shard(share) }

// PresenceAsserted notes that other nodes can see the recipients from now on. Before that their look-ups saw nobody, and the
// sessions may have read the inbox before the commits of those: so they are compared with the store, once.
func (h Here) PresenceAsserted(rs []esh3ar.Recipient) {
	f := h.e.far
	f.mu.Lock()
	if len(f.mu.asserted)+len(rs) <= assertedLimit {
		f.mu.asserted = append(f.mu.asserted, rs...)
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// HandleHints hands hints of other nodes to the sessions.
func (h Here) HandleHints(hints []presence.Hint) {
	now := time.Now()
	for i := range hints {
		if ev, ok := eventOf(&hints[i], now); ok {
			h.e.tell(hints[i].Recipient, nil, ev)
		}
	}
}

// RecipientsOffline notes that recipients are connected nowhere.
func (h Here) RecipientsOffline(hints []presence.Hint) {
	now := time.Now()
	absent := make([]esh3ar.Change, len(hints))
	for i := range hints {
		absent[i] = absentChange(&hints[i], now)
	}
	h.e.makePending(absent)
}

// HintsLost notes that hints were lost, and with them the word on who is absent.
func (h Here) HintsLost() { h.e.missed.note() }
