package presence

import (
	"cmp"
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// maxHops is how many times a hint is forwarded by nodes that do not have its recipient. Two hops reach a phone that moved
	// during the lookup; a hint that needs more is following stale entries.
	maxHops = 2
	// lookupHints and lookupBytes bound one lookup and the node batches that result from it.
	lookupHints = 1024
	lookupBytes = 1 << 20
)

// Limits bound a RouterState; the zero value of a field selects its default.
type Limits struct {
	Hints int // hints in the outbox; default 32,768
	Bytes int // bytes of the hints in the outbox; default 32 MiB
	Dirty int // recipients in the dirty set; default 65,536
}

func (l Limits) withDefaults() Limits {
	l.Hints = cmp.Or(l.Hints, 1<<15)
	l.Bytes = cmp.Or(l.Bytes, 32<<20)
	l.Dirty = cmp.Or(l.Dirty, 1<<16)
	return l
}

// RouterState is the state machine of a Router, without goroutines, clock, I/O or lock. Its methods are its events: each takes the
// data of the event and returns the actions to perform. Callers serialize the calls.
type RouterState struct {
	self             membership.NodeID
	outbox           outbox
	lookup           []Hint             // hints of the lookup in progress; nil if there is none
	lookupRecipients []esh3ar.Recipient // their recipients, without duplicates
	publisher        publisher
	stats            Stats
}

// NewRouterState returns the state machine of a node.
func NewRouterState(self membership.NodeID, limits Limits) *RouterState {
	limits = limits.withDefaults()
	b := &RouterState{self: self, outbox: outbox{maxHints: limits.Hints, maxBytes: limits.Bytes}}
	b.publisher.dirty.limit = limits.Dirty
	return b
}

// NodeBatch holds the hints to send to one node.
type NodeBatch struct {
	To    membership.NodeID
	Hints []Hint
}

// RoutingResult holds the outcome of one lookup.
type RoutingResult struct {
	Batches      []NodeBatch
	Offline      []Hint // hints of stored messages whose recipients have no connection on any node
	LookupFailed bool   // the presence lookup failed; the hints are lost
}

// Enqueue adds hints of this node's engine to the outbox. It reports whether all of them fitted; the rest are dropped.
func (b *RouterState) Enqueue(hints []Hint) bool {
	b.stats.Enqueued += uint64(len(hints))
	all := true
	for i := range hints {
		all = b.enqueue(&hints[i]) && all
	}
	return all
}

func (b *RouterState) enqueue(h *Hint) bool {
	if b.outbox.push(h) {
		return true
	}
	b.stats.Dropped++
	return false
}

// LookUp starts a lookup for the oldest hints in the outbox and returns their recipients. It returns nil if the outbox is empty or
// a lookup is in progress. The caller must follow with ResolveTargets.
func (b *RouterState) LookUp() []esh3ar.Recipient {
	if b.lookup != nil || len(b.outbox.hints) == 0 {
		return nil
	}
	b.lookup = b.outbox.pop(lookupHints, lookupBytes)
	known := make(map[esh3ar.Recipient]struct{}, len(b.lookup))
	b.lookupRecipients = make([]esh3ar.Recipient, 0, len(b.lookup))
	for i := range b.lookup {
		r := b.lookup[i].Recipient
		if _, ok := known[r]; !ok {
			known[r] = struct{}{}
			b.lookupRecipients = append(b.lookupRecipients, r)
		}
	}
	return b.lookupRecipients
}

// errWrongCount means that presence returned a different number of results than recipients.
var errWrongCount = errors.New("presence answered for fewer or more than were asked for")

// ResolveTargets ends the lookup. nodes is the answer of presence for the recipients that LookUp returned, in their order; held[i]
// reports whether this node has a session of recipient i, checked after the answer arrived.
func (b *RouterState) ResolveTargets(nodes [][]membership.NodeID, held []bool, err error) RoutingResult {
	hints, asked := b.lookup, b.lookupRecipients
	b.lookup, b.lookupRecipients = nil, nil
	if err == nil && len(nodes) != len(asked) {
		err = errWrongCount
	}
	if err != nil && !faultinject.Is(faultinject.AbsentTrusted) {
		b.stats.LookupFailed += uint64(len(hints))
		return RoutingResult{LookupFailed: true}
	}
	places := make(map[esh3ar.Recipient]location, len(asked))
	for i, r := range asked {
		p := location{local: held[i]}
		if err == nil {
			p.nodes = nodes[i]
		}
		places[r] = p
		if !p.local && slices.Contains(p.nodes, b.self) {
			b.markStale(r)
		}
	}
	return b.group(hints, places)
}

// location is where a recipient is connected.
type location struct {
	nodes []membership.NodeID
	local bool // has a session on this node
}

// group assigns the hints to one batch per target node and keeps their order within each batch.
func (b *RouterState) group(hints []Hint, places map[esh3ar.Recipient]location) RoutingResult {
	var out RoutingResult
	parcels := map[membership.NodeID]int{}
	for i := range hints {
		p, elsewhere := places[hints[i].Recipient], false
		for _, node := range p.nodes {
			if node == b.self {
				continue
			}
			elsewhere = true
			at, ok := parcels[node]
			if !ok {
				at = len(out.Batches)
				parcels[node] = at
				out.Batches = append(out.Batches, NodeBatch{To: node})
			}
			out.Batches[at].Hints = append(out.Batches[at].Hints, hints[i])
		}
		if !elsewhere && !p.local && hints[i].Kind == Stored {
			out.Offline = append(out.Offline, hints[i])
		}
	}
	b.stats.Offline += uint64(len(out.Offline))
	return out
}

// Sent records whether the transport accepted a batch.
func (b *RouterState) Sent(p *NodeBatch, err error) {
	if err != nil {
		b.stats.SendFailed += uint64(len(p.Hints))
		return
	}
	b.stats.Sent += uint64(len(p.Hints))
}

// Receive takes hints from another node; held[i] reports whether this node has a session of the recipient of hint i. It returns the
// hints for this node's engine. The other hints are forwarded, and their recipients are marked, so that the presence entry which
// led them here is retracted. lost is true if a hint could not be forwarded.
func (b *RouterState) Receive(hints []Hint, held []bool) (here []Hint, lost bool) {
	b.stats.Received += uint64(len(hints))
	for i := range hints {
		if held[i] {
			here = append(here, hints[i])
			continue
		}
		lost = !b.forward(hints[i]) || lost
	}
	return here, lost
}

// forward puts a misrouted hint back into the outbox. It returns false if the hop limit is exceeded or the outbox is full.
func (b *RouterState) forward(h Hint) bool {
	b.stats.Misrouted++
	b.markStale(h.Recipient)
	if h.Hops >= maxHops {
		b.stats.HopLimitExceeded++
		return false
	}
	if !faultinject.Is(faultinject.HopsForgotten) {
		h.Hops++
	}
	return b.enqueue(&h)
}

// markStale marks a recipient whose presence entry for this node may be wrong.
func (b *RouterState) markStale(r esh3ar.Recipient) {
	if !faultinject.Is(faultinject.StaleEntryKept) {
		b.mark(r)
	}
}

// Idle reports whether nothing is queued and no operation is in progress.
func (b *RouterState) Idle() bool {
	return b.lookup == nil && len(b.outbox.hints) == 0 && !b.publisher.busy && len(b.publisher.dirty.queue) == 0
}

// Stats returns the counters.
func (b *RouterState) Stats() Stats {
	s := b.stats
	s.Waiting = len(b.outbox.hints)
	return s
}
