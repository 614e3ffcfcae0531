package balance

import (
	"slices"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Balancer knows the nodes and chooses.
type Balancer struct {
	rules  Rules
	random func(n int64) int64 // in [0, n)
	nodes  []*Node             // by id
	usable []*Node             // of the last choice; kept for its memory
}

// New makes one that knows no node; random gives numbers in [0, n).
func New(r Rules, random func(n int64) int64) *Balancer {
	r.setDefaults()
	return &Balancer{rules: r, random: random}
}

// Change is what became of a node, for a log.
type Change struct {
	ID    membership.NodeID
	URL   string
	State State
	Gone  bool   // it is not known any more
	Why   string // in words; empty for what needs none
}

// List tells which nodes there are, as a registry or the flags say it. A node with another URL than before is another
// node. What the list has no more is kept for a while, if it answers: a registry may have forgotten it.
func (b *Balancer) List(now time.Time, list []membership.Node) (changes []Change) {
	for _, n := range b.nodes {
		n.lost = true
	}
	for i := range list {
		changes = append(changes, b.listOne(now, &list[i])...)
	}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *Node) bool {
		gone := n.lost && (n.state != Up || now.Sub(n.listed) > b.rules.Grace)
		if gone {
			changes = append(changes, Change{n.ID, n.URL, n.state, true, "it left the list of nodes"})
		}
		return gone
	})
	return changes
}

func (b *Balancer) listOne(now time.Time, word *membership.Node) []Change {
	at, known := b.find(word.ID)
	if known && b.nodes[at].URL != word.URL { // calls under way keep the old one
		b.nodes = slices.Delete(b.nodes, at, at+1)
		known = false
	}
	if !known && slices.ContainsFunc(b.nodes, func(n *Node) bool { return !n.lost && n.URL == word.URL }) {
		return nil // one process that came back under another id, or a wrong URL: it is one node, with one share
	}
	if !known {
		at = b.enter(word)
	}
	n := b.nodes[at]
	n.listed, n.lost = now, false
	if n.name == "" && !word.SeenAt.IsZero() { // its word, not just its address; what checks bring is newer
		n.hear(word)
	}
	if word.Draining && n.state == Up {
		return b.out(n, NotReady, "it is draining")
	}
	return nil
}

func (b *Balancer) find(id membership.NodeID) (at int, known bool) {
	return slices.BinarySearchFunc(b.nodes, id, func(n *Node, id membership.NodeID) int { return strings.Compare(string(n.ID), string(id)) })
}

// enter adds a node and tells where. One that was known at the same URL by another name, as from a list of bare URLs, is the
// same node: it goes on as it stood, but for the calls under way, which keep the old one.
func (b *Balancer) enter(word *membership.Node) (at int) {
	n := &Node{URL: word.URL}
	n.latency.Fall = b.rules.Fall
	if old := slices.IndexFunc(b.nodes, func(n *Node) bool { return n.lost && n.URL == word.URL }); old >= 0 {
		*n = *b.nodes[old]
		n.calls, n.streams = 0, 0
		b.nodes = slices.Delete(b.nodes, old, old+1)
	}
	n.ID = word.ID
	at, _ = b.find(n.ID)
	b.nodes = slices.Insert(b.nodes, at, n)
	return at
}

// hear takes what a node says of itself.
func (n *Node) hear(word *membership.Node) {
	if !n.heard {
		n.heard, n.load = true, word.Load
	}
	n.load = smoothed*n.load + (1-smoothed)*word.Load
	n.name, n.connections, n.handed = word.ID, word.Connections, 0
}

// Nodes gives all that are known, by id. The slice is the Balancer's.
func (b *Balancer) Nodes() []*Node { return b.nodes }

// Ready tells whether a node is up.
func (b *Balancer) Ready() bool {
	return slices.ContainsFunc(b.nodes, func(n *Node) bool { return n.state == Up })
}

// Named finds the node that calls itself so; nil: nobody does.
func (b *Balancer) Named(name membership.NodeID) *Node {
	for _, n := range b.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}
