package presence

import (
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
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
	Marks int // recipients whose presence may have changed; default 65,536
}

func (l Limits) withDefaults() Limits {
	if l.Hints == 0 {
		l.Hints = 1 << 15
	}
	if l.Bytes == 0 {
		l.Bytes = 32 << 20
	}
	if l.Marks == 0 {
		l.Marks = 1 << 16
	}
	return l
}

// Switchboard is the machine of a Router. Its methods are its events; each takes what the event carries and gives what is
// to be done. It has no lock.
type Switchboard struct {
	self    NodeID
	outbox  outbox
	looking []Hint             // whose recipients are being looked up
	asked   []esh3ar.Recipient // those, each once
	saying  saying
	stats   Stats
}

// NewSwitchboard makes the machine of a node.
func NewSwitchboard(self NodeID, limits Limits) *Switchboard {
	limits = limits.withDefaults()
	b := &Switchboard{self: self, outbox: outbox{maxHints: limits.Hints, maxBytes: limits.Bytes}}
	b.saying.marks.most = limits.Marks
	return b
}

// Parcel is what leaves for one node at once.
type Parcel struct {
	To    NodeID
	Hints []Hint
}

// Routed is what becomes of hints after a look-up.
type Routed struct {
	Parcels  []Parcel
	Absent   []Hint // of messages whose recipients are connected nowhere
	Unlooked bool   // presence did not answer, and these hints are lost
}

// Tell takes hints of this node's engine; false: not all of them found room.
func (b *Switchboard) Tell(hints []Hint) bool {
	b.stats.Told += uint64(len(hints))
	all := true
	for i := range hints {
		all = b.put(&hints[i]) && all
	}
	return all
}

func (b *Switchboard) put(h *Hint) bool {
	if b.outbox.put(h) {
		return true
	}
	b.stats.Dropped++
	return false
}

// LookUp begins the look-up of those for whom hints wait; nil: there are none, or a look-up is under way. Found must
// follow.
func (b *Switchboard) LookUp() []esh3ar.Recipient {
	if b.looking != nil || len(b.outbox.hints) == 0 {
		return nil
	}
	b.looking = b.outbox.take(lookupHints, lookupBytes)
	known := make(map[esh3ar.Recipient]struct{}, len(b.looking))
	b.asked = make([]esh3ar.Recipient, 0, len(b.looking))
	for i := range b.looking {
		r := b.looking[i].Recipient
		if _, ok := known[r]; !ok {
			known[r] = struct{}{}
			b.asked = append(b.asked, r)
		}
	}
	return b.asked
}

// errShort is an answer that does not fit its question.
var errShort = errors.New("presence answered for fewer or more than were asked for")

// Found is the answer of a look-up, and which of those asked for this node held after that.
func (b *Switchboard) Found(nodes [][]NodeID, held []bool, err error) Routed {
	hints, asked := b.looking, b.asked
	b.looking, b.asked = nil, nil
	if err == nil && len(nodes) != len(asked) {
		err = errShort
	}
	if err != nil && !faultinject.Is(faultinject.AbsentTrusted) {
		b.stats.Unlooked += uint64(len(hints))
		return Routed{Unlooked: true}
	}
	places := make(map[esh3ar.Recipient]place, len(asked))
	for i, r := range asked {
		p := place{held: held[i]}
		if err == nil {
			p.nodes = nodes[i]
		}
		places[r] = p
		if !p.held && slices.Contains(p.nodes, b.self) {
			b.stale(r)
		}
	}
	return b.sort(hints, places)
}

// place is where a recipient is.
type place struct {
	nodes []NodeID
	held  bool // here
}

// sort puts hints into parcels, in their order.
func (b *Switchboard) sort(hints []Hint, places map[esh3ar.Recipient]place) (out Routed) {
	parcels := map[NodeID]int{}
	for i := range hints {
		p, elsewhere := places[hints[i].Recipient], false
		for _, node := range p.nodes {
			if node == b.self {
				continue
			}
			elsewhere = true
			at, ok := parcels[node]
			if !ok {
				at = len(out.Parcels)
				parcels[node] = at
				out.Parcels = append(out.Parcels, Parcel{To: node})
			}
			out.Parcels[at].Hints = append(out.Parcels[at].Hints, hints[i])
		}
		if !elsewhere && !p.held && hints[i].Kind == Stored {
			out.Absent = append(out.Absent, hints[i])
		}
	}
	b.stats.Absent += uint64(len(out.Absent))
	return out
}

// Sent says how a parcel left.
func (b *Switchboard) Sent(p *Parcel, err error) {
	if err != nil {
		b.stats.Unsent += uint64(len(p.Hints))
		return
	}
	b.stats.Sent += uint64(len(p.Hints))
}

// Receive takes hints from another node, and for each whether this node holds its recipient; it gives those that are for
// the engine. The others are routed again, and whatever entry led them here is taken back. Where lost, some could not be.
func (b *Switchboard) Receive(hints []Hint, held []bool) (here []Hint, lost bool) {
	b.stats.Received += uint64(len(hints))
	for i := range hints {
		if held[i] {
			here = append(here, hints[i])
			continue
		}
		lost = !b.astray(hints[i]) || lost
	}
	return here, lost
}

// astray sends a hint on; false: not any more.
func (b *Switchboard) astray(h Hint) bool {
	b.stats.Astray++
	b.stale(h.Recipient)
	if h.Hops >= maxHops {
		b.stats.Circled++
		return false
	}
	if !faultinject.Is(faultinject.HopsForgotten) {
		h.Hops++
	}
	return b.put(&h)
}

// stale marks a recipient of whom this node may still say that it holds it.
func (b *Switchboard) stale(r esh3ar.Recipient) {
	if !faultinject.Is(faultinject.StaleEntryKept) {
		b.mark(r)
	}
}

// Idle tells whether nothing waits and nothing is under way.
func (b *Switchboard) Idle() bool {
	return b.looking == nil && len(b.outbox.hints) == 0 && !b.saying.busy && len(b.saying.marks.waiting) == 0
}

// Stats gives the counts.
func (b *Switchboard) Stats() Stats {
	s := b.stats
	s.Waiting = len(b.outbox.hints)
	return s
}
