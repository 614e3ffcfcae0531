package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// Hints implements presence.Hints: one channel per node, which carries sealed batches.
type Hints struct {
	client *Client
	node   membership.NodeID
}

var _ presence.Hints = (*Hints)(nil)

// Hints returns the hint transport of this node.
func (c *Client) Hints() *Hints { return &Hints{c, c.opts.Node} }

func (h *Hints) channel(node membership.NodeID) string {
	return h.client.opts.Prefix + "h:{" + string(node) + "}"
}

// Bounds of one batch. A hint that exceeds batchBytes is sent alone.
const (
	batchHints = 512
	batchBytes = 64 << 10 // with a queue of 256 batches: 16 MiB
)

// Send implements presence.Hints.
func (h *Hints) Send(ctx context.Context, to membership.NodeID, hints []presence.Hint) error {
	if to == "" {
		return errors.New("send hints: empty node id")
	}
	seal := h.client.sealers.hints
	if seal == nil {
		return errNoKeys
	}
	var batches []string
	var batch, frame []byte
	channel := h.channel(to)
	for len(hints) > 0 {
		n := batchLen(hints)
		batch = presence.AppendHints(batch[:0], hints[:n])
		frame = seal.Seal(frame[:0], channel, batch)
		batches = append(batches, string(frame))
		hints = hints[n:]
	}
	return h.client.publish(ctx, opHint, channel, batches)
}

// batchLen returns how many of the hints fit into one batch.
func batchLen(hints []presence.Hint) int {
	size := 0
	for i := range hints {
		size += 64 + len(hints[i].IDs)*len(esh3ar.MessageID{}.UUID)
		if m := hints[i].Message; m != nil {
			size += m.Size()
		}
		if i == batchHints || i > 0 && size > batchBytes {
			return i
		}
	}
	return len(hints)
}

// Receive implements presence.Hints.
func (h *Hints) Receive(ctx context.Context, handle func([]presence.Hint)) error {
	if h.client.sealers.hints == nil {
		return errNoKeys
	}
	err := h.client.receive(ctx, "hints", h.channel(h.node), &h.client.stats.batchesDropped, func(frame string) { h.deliver(frame, handle) })
	return fmt.Errorf("receive hints: %w", err)
}

// deliver drops batches that no node of the cluster has sealed for this node, and batches of a format version that this node does
// not understand. Only latency is lost.
func (h *Hints) deliver(frame string, handle func([]presence.Hint)) {
	text, ok := h.client.open(partHints, h.client.sealers.hints, h.channel(h.node), frame)
	if !ok {
		return
	}
	hints, err := presence.DecodeHints(text)
	if err != nil {
		h.client.stats.batchesDropped.Add(1)
		return
	}
	h.client.stats.hints.Add(uint64(len(hints)))
	handle(hints)
}
