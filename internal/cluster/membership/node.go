package membership

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// NodeID is the id of a node of the cluster, as set by --node-id.
type NodeID string

const (
	// TTL is how long an announcement is valid.
	TTL = 5 * time.Second
	// Interval is the time between two announcements.
	Interval = time.Second
)

// Node is the status that a node announces.
type Node struct {
	ID          NodeID      `json:"id"`
	URL         string      `json:"url"`     // base URL for clients
	Version     string      `json:"version"` // version of the program
	StartedAt   esh3ar.Time `json:"startedAt"`
	SeenAt      esh3ar.Time `json:"seenAt"` // time of the last heartbeat
	Draining    bool        `json:"draining"`
	Connections int         `json:"connections"` // open connections of phones
	Waiting     int         `json:"waiting"`     // messages in the lanes
	Spilled     int         `json:"spilled"`     // messages in the node's spill
	Load        float64     `json:"load"`        // share of the node's capacity in use, by its most loaded part; 1 is full
	Parts       flow.Load   `json:"loadParts"`   // load by part; Load is their maximum

	// Proof is a secret that a gateway reads from the registry and presents to the node when it asks for the node's status.
	// The node's HTTP responses never contain it.
	Proof string `json:"proof,omitempty"`
}

// Registry stores the announcements of the nodes.
type Registry interface {
	// Announce stores the status of this node for TTL and returns the announcement that it replaced, or a Node with an empty ID if
	// there was none.
	Announce(ctx context.Context, n Node) (before Node, err error)
	// Leave removes this node from the list.
	Leave(ctx context.Context) error
	// Nodes returns the live nodes, sorted by id.
	Nodes(ctx context.Context) ([]Node, error)
}
