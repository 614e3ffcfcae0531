package presence

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

const (
	// TTL is how long an assertion is valid.
	TTL = 30 * time.Second
	// RenewInterval is the time in which every assertion of a node is repeated once; two repeats in a row may be lost.
	RenewInterval = 10 * time.Second
)

// Presence stores which nodes have connections of which recipients. It may lose entries or be late at any time: that costs latency,
// never a message.
type Presence interface {
	// Assert records that this node has connections of the recipients. The record is valid for PresenceTTL.
	Assert(ctx context.Context, rs []esh3ar.Recipient) error
	// Retract deletes this node's records of the recipients; those of other nodes stay.
	Retract(ctx context.Context, rs []esh3ar.Recipient) error
	// Nodes returns the nodes of each recipient, in the order of rs. This node is included where it has asserted itself. An empty list
	// means that no connection is known.
	Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error)
}

// Hints carries hints between nodes, each at most once and in no particular order.
type Hints interface {
	// Send passes a batch to the transport for one node. A nil error does not mean that the node has received it.
	Send(ctx context.Context, to membership.NodeID, hints []Hint) error
	// Receive calls handle with the hints for this node, one batch at a time, until ctx ends. It reconnects after failures.
	Receive(ctx context.Context, handle func([]Hint)) error
}
