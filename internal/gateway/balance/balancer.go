package balance

import (
	"slices"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Balancer holds the state of the nodes and chooses among them.
type Balancer struct {
	rules  Rules
	random func(n int64) int64 // in [0, n)
	nodes  []*Node             // sorted by id
	usable []*Node             // candidates of the last choice, for reuse
}

// New returns a Balancer without nodes. random must return numbers in [0, n).
func New(r Rules, random func(n int64) int64) *Balancer {
	r = r.withDefaults()
	return &Balancer{rules: r, random: random}
}

// Change is a change of a node's state, for the log.
type Change struct {
	ID    membership.NodeID
	URL   string
	State State
	Gone  bool   // the node is no longer known
	Why   string // reason for people; may be empty
}

// SetNodes sets the nodes, from a registry or flags. A node whose URL has changed is a different node. A node that is not in
// the list any more is kept for Rules.Grace if it is up, because the registry may have lost it.
func (b *Balancer) SetNodes(now time.Time, list []membership.Node) []Change {
	var changes []Change
	for _, n := range b.nodes {
		n.unlisted = true
	}
	for i := range list {
		changes = append(changes, b.upsert(now, &list[i])...)
	}
	b.nodes = slices.DeleteFunc(b.nodes, func(n *Node) bool {
		gone := n.unlisted && (n.state != Up || now.Sub(n.listed) > b.rules.Grace)
		if gone {
			changes = append(changes, Change{n.ID, n.URL, n.state, true, "it left the list of nodes"})
		}
		return gone
	})
	return changes
}

func (b *Balancer) upsert(now time.Time, word *membership.Node) []Change {
	at, known := b.find(word.ID)
	if known && b.nodes[at].URL != word.URL { // calls in progress keep the old one
		b.nodes = slices.Delete(b.nodes, at, at+1)
		known = false
	}
	if !known && slices.ContainsFunc(b.nodes, func(n *Node) bool { return !n.unlisted && n.URL == word.URL }) {
		return nil // the same process under a second id, or a wrong URL: one node with one share
	}
	if !known {
		at = b.add(word)
	}
	n := b.nodes[at]
	n.listed, n.unlisted = now, false
	if n.name == "" && !word.SeenAt.IsZero() { // a report and not just an address; reports of checks are newer
		n.applyReport(word)
	}
	if word.Draining && n.state == Up {
		return b.out(n, NotReady, "it is draining")
	}
	return nil
}

func (b *Balancer) find(id membership.NodeID) (at int, known bool) {
	return slices.BinarySearchFunc(b.nodes, id, func(n *Node, id membership.NodeID) int { return strings.Compare(string(n.ID), string(id)) })
}

// add inserts a node and returns its index. A node that was known at the same URL under another id, as from a list of URLs, is
// the same node: it keeps its state except for calls in progress, which still count for the old one.
func (b *Balancer) add(word *membership.Node) (at int) {
	n := &Node{URL: word.URL}
	n.latency.Fall = b.rules.LatencyDecay
	if old := slices.IndexFunc(b.nodes, func(n *Node) bool { return n.unlisted && n.URL == word.URL }); old >= 0 {
		*n = *b.nodes[old]
		n.calls, n.streams = 0, 0
		b.nodes = slices.Delete(b.nodes, old, old+1)
	}
	n.ID = word.ID
	at, _ = b.find(n.ID)
	b.nodes = slices.Insert(b.nodes, at, n)
	return at
}

// applyReport applies a node's report.
func (n *Node) applyReport(word *membership.Node) {
	if !n.reported {
		n.reported, n.load = true, word.Load
	}
	n.load = loadSmoothing*n.load + (1-loadSmoothing)*word.Load
	n.name = word.ID
	n.connections = word.Connections
	n.handed = 0
}

// Nodes returns all known nodes, sorted by id. The caller must not change the slice.
func (b *Balancer) Nodes() []*Node { return b.nodes }

// Ready reports whether any node is up.
func (b *Balancer) Ready() bool {
	return slices.ContainsFunc(b.nodes, func(n *Node) bool { return n.state == Up })
}

// ByName returns the node that reports this name, or nil.
func (b *Balancer) ByName(name membership.NodeID) *Node {
	for _, n := range b.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}
