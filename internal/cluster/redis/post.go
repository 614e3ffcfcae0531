package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Post carries sealed batches of bytes from node to node, over one channel for each node, as hints are carried: each at most once,
// in the order in which one goroutine sends them. What the bytes mean is no business of it.
type Post struct {
	client  *Client
	name    string
	seal    *keyring.Sealer // nil: the client has no keys
	dropped atomic.Uint64
}

// Post is this node's post office of that name; those of the same name on other nodes are the other side.
func (c *Client) Post(name string) *Post {
	p := &Post{client: c, name: name}
	if c.opts.Keys != nil {
		p.seal = c.opts.Keys.Sealer("post " + name)
	}
	return p
}

func (p *Post) channel(node membership.NodeID) string {
	return p.client.opts.Prefix + p.name + ":{" + string(node) + "}"
}

// Send hands batches to one node. That it returns nil does not mean that anybody got them.
func (p *Post) Send(ctx context.Context, to membership.NodeID, batches []string) error {
	if to == "" {
		return errors.New("send by post: to no node")
	}
	if p.seal == nil {
		return errNoKeys
	}
	channel := p.channel(to)
	frames := make([]string, len(batches))
	for i, batch := range batches {
		frames[i] = string(p.seal.Seal(nil, channel, []byte(batch)))
	}
	return p.client.publish(ctx, opPost, channel, frames)
}

// Receive gives the batches for this node to handle, one at a time, until ctx ends, and finds its way back by itself. Those
// that come while handle has 256 before it are dropped.
func (p *Post) Receive(ctx context.Context, handle func(batch string)) error {
	if p.seal == nil {
		return errNoKeys
	}
	channel := p.channel(p.client.opts.Node)
	err := p.client.receive(ctx, "post "+p.name, channel, &p.dropped, func(frame string) {
		if batch, ok := p.client.open(partPost, p.seal, channel, frame); ok {
			handle(string(batch))
		}
	})
	return fmt.Errorf("receive by post: %w", err)
}

// Dropped counts the batches that were dropped here.
func (p *Post) Dropped() uint64 { return p.dropped.Load() }
