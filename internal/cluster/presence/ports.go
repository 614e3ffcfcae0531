package presence

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// NodeID names a node of the cluster: its --node-id.
type NodeID string

// How long what a node says of itself stands, and how often it says it again: two repeats may be lost.
const (
	PresenceTTL   = 30 * time.Second
	PresenceEvery = 10 * time.Second
	NodeTTL       = 5 * time.Second
	NodeEvery     = time.Second
)

// Presence knows on which nodes recipients are connected. It may forget or be late at any time: that costs latency.
type Presence interface {
	// Assert says that this node holds connections of the recipients; it stands for PresenceTTL.
	Assert(ctx context.Context, rs []esh3ar.Recipient) error
	// Retract takes back what this node asserted, and nothing that another did.
	Retract(ctx context.Context, rs []esh3ar.Recipient) error
	// Nodes gives the nodes of each recipient in the order asked, this one too where it asserted; none: nobody knows of
	// a connection.
	Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]NodeID, error)
}

// Hints carries hints between nodes, each at most once, in no order.
type Hints interface {
	// Send hands a batch to one node. That it returns nil does not mean that anybody got it.
	Send(ctx context.Context, to NodeID, hints []Hint) error
	// Receive gives the hints for this node to handle, one batch at a time, until ctx ends; it finds its way back to the
	// other side by itself.
	Receive(ctx context.Context, handle func([]Hint)) error
}

// Registry lists the nodes of the cluster.
type Registry interface {
	// Announce says that this node lives and how it is; it stands for NodeTTL. It gives the word whose place it takes, without an id
	// where there was none.
	Announce(ctx context.Context, n Node) (before Node, err error)
	// Leave takes this node from the list.
	Leave(ctx context.Context) error
	// Nodes lists the nodes that live, by id.
	Nodes(ctx context.Context) ([]Node, error)
}

// Node is what a node says of itself.
type Node struct {
	ID          NodeID      `json:"id"`
	URL         string      `json:"url"`     // how clients reach it
	Version     string      `json:"version"` // of the program
	StartedAt   esh3ar.Time `json:"startedAt"`
	SeenAt      esh3ar.Time `json:"seenAt"` // the newest heartbeat
	Draining    bool        `json:"draining"`
	Connections int         `json:"connections"` // of phones
	Waiting     int         `json:"waiting"`     // messages in the lanes
	Spilled     int         `json:"spilled"`     // messages in its spill
	Load        float64     `json:"load"`        // share of its capacity in use, by its fullest part; 1 is full
	Parts       flow.Load   `json:"loadParts"`

	// Proof is what a gateway that has read the registry shows to be told how the node is. It is in no answer of a node.
	Proof string `json:"proof,omitempty"`
}
