package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// BatchTransport carries sealed batches of bytes between nodes, over one channel per node: each batch at most once, and in the
// order in which one goroutine sends them. It does not interpret the bytes.
type BatchTransport struct {
	client  *Client
	name    string
	seal    *keyring.Sealer // nil if the client has no keys
	dropped atomic.Uint64
}

// BatchTransport returns the transport with a name; the transports of the same name on other nodes are its peers.
func (c *Client) BatchTransport(name string) *BatchTransport {
	p := &BatchTransport{client: c, name: name}
	if c.opts.Keys != nil {
		p.seal = c.opts.Keys.Sealer("post " + name)
	}
	return p
}

func (p *BatchTransport) channel(node membership.NodeID) string {
	return p.client.opts.Prefix + p.name + ":{" + string(node) + "}"
}

// Send sends batches to one node. A nil error does not mean that the node has received them.
func (p *BatchTransport) Send(ctx context.Context, to membership.NodeID, batches []string) error {
	if to == "" {
		return errors.New("send batches: empty node id")
	}
	if p.seal == nil {
		return errNoKeys
	}
	channel := p.channel(to)
	frames := make([]string, len(batches))
	for i, batch := range batches {
		frames[i] = string(p.seal.Seal(nil, channel, []byte(batch)))
	}
	return p.client.publish(ctx, opSendBatch, channel, frames)
}

// Receive passes the batches for this node to handle, one at a time, until ctx ends. It reconnects after failures. Batches that
// arrive while 256 are queued are dropped.
func (p *BatchTransport) Receive(ctx context.Context, handle func(batch string)) error {
	if p.seal == nil {
		return errNoKeys
	}
	channel := p.channel(p.client.opts.Node)
	err := p.client.receive(ctx, "batches "+p.name, channel, &p.dropped, func(frame string) {
		if batch, ok := p.client.open(partBatches, p.seal, channel, frame); ok {
			handle(string(batch))
		}
	})
	return fmt.Errorf("receive batches: %w", err)
}

// Dropped returns the number of received batches that were dropped.
func (p *BatchTransport) Dropped() uint64 { return p.dropped.Load() }
