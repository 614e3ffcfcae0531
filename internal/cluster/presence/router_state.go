package presence

import (
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// maxHops is how often a hint is sent on by nodes that do not hold its recipient. Twice finds a phone that moved
	// while it was looked for; a hint that still has not arrived runs after stale entries.
	maxHops = 2
	// lookupHints and lookupBytes bound one look-up and the parcels that come of it.
	lookupHints = 1024
	lookupBytes = 1 << 20
)

// Limits bound a Switchboard; the zero value of a field means its default.
type Limits struct {
	Hints int // in the outbox; default 32,768
	Bytes int // of those; default 32 MiB
	Dirty int // recipients whose presence may have changed; default 65,536
}

func (l Limits) withDefaults() Limits {
	if l.Hints == 0 {
		l.Hints = 1 << 15
	}
	if l.Bytes == 0 {
		l.Bytes = 32 << 20
	}
	if l.Dirty == 0 {
		l.Dirty = 1 << 16
	}
	return l
}

// RouterState is the machine of a Router. Its methods are its events; each takes what the event carries and gives what is
// to be done. It has no lock.
type RouterState struct {
	self             membership.NodeID
	outbox           outbox
	lookup           []Hint             // whose recipients are being looked up
	lookupRecipients []esh3ar.Recipient // those, each once
	publisher        publisher
	stats            Stats
}

// NewRouterState makes the machine of a node.
func NewRouterState(self membership.NodeID, limits Limits) *RouterState {
	limits = limits.withDefaults()
	b := &RouterState{self: self, outbox: outbox{maxHints: limits.Hints, maxBytes: limits.Bytes}}
	b.publisher.dirty.limit = limits.Dirty
	return b
}

// NodeBatch is what leaves for one node at once.
type NodeBatch struct {
	To    membership.NodeID
	Hints []Hint
}

// RoutingResult is what becomes of hints after a look-up.
type RoutingResult struct {
	Batches      []NodeBatch
	Offline      []Hint // of messages whose recipients are connected nowhere
	LookupFailed bool   // presence did not answer, and these hints are lost
}

// Enqueue takes hints of this node's engine; false: not all of them found room.
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

// LookUp begins the look-up of those for whom hints wait; nil: there are none, or a look-up is under way. Found must
// follow.
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

// errWrongCount is an answer that does not fit its question.
var errWrongCount = errors.New("presence answered for fewer or more than were asked for")

// ResolveTargets is the answer of a look-up, and which of those asked for this node held after that.
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

// location is where a recipient is.
type location struct {
	nodes []membership.NodeID
	local bool // here
}

// group puts hints into parcels, in their order.
func (b *RouterState) group(hints []Hint, places map[esh3ar.Recipient]location) (out RoutingResult) {
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

// Sent says how a parcel left.
func (b *RouterState) Sent(p *NodeBatch, err error) {
	if err != nil {
		b.stats.SendFailed += uint64(len(p.Hints))
		return
	}
	b.stats.Sent += uint64(len(p.Hints))
}

// Receive takes hints from another node, and for each whether this node holds its recipient; it gives those that are for
// the engine. The others are routed again, and whatever entry led them here is taken back. Where lost, some could not be.
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

// forward sends a hint on; false: not any more.
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

// markStale marks a recipient of whom this node may still say that it holds it.
func (b *RouterState) markStale(r esh3ar.Recipient) {
	if !faultinject.Is(faultinject.StaleEntryKept) {
		b.mark(r)
	}
}

// Idle tells whether nothing waits and nothing is under way.
func (b *RouterState) Idle() bool {
	return b.lookup == nil && len(b.outbox.hints) == 0 && !b.publisher.busy && len(b.publisher.dirty.queue) == 0
}

// Stats gives the counts.
func (b *RouterState) Stats() Stats {
	s := b.stats
	s.Waiting = len(b.outbox.hints)
	return s
}
