package backplane

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Bounds of the outbox and of a batch. A frame that exceeds batchBytes is sent alone.
const (
	maxQueuedFrames = 4096
	maxQueuedBytes  = 16 << 20
	batchBytes      = 64 << 10
	maxSenders      = 8 // nodes that are sent to concurrently, so that a slow Redis server of one node delays no other
)

// outbox holds the queued frames of each node, in order. If it is full, a frame is refused for all of its nodes.
type outbox struct {
	wake chan struct{} // capacity 1; a token means that there are frames

	mu struct {
		sync.Mutex
		frames  map[membership.NodeID][]frame
		n, size int
	}
}

func newOutbox() *outbox {
	o := &outbox{wake: make(chan struct{}, 1)}
	o.mu.frames = make(map[membership.NodeID][]frame)
	return o
}

func (o *outbox) push(l frame, to []membership.NodeID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := o.mu.n+len(to), o.mu.size+len(to)*l.size()
	if n > maxQueuedFrames || size > maxQueuedBytes {
		return false
	}
	o.mu.n, o.mu.size = n, size
	for _, node := range to {
		o.mu.frames[node] = append(o.mu.frames[node], l)
	}
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
	return true
}

// takeAll removes and returns all frames.
func (o *outbox) takeAll() map[membership.NodeID][]frame {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.mu.frames
	o.mu.frames = make(map[membership.NodeID][]frame)
	o.mu.n = 0
	o.mu.size = 0
	return all
}

// sendLoop sends the queued frames until ctx ends. While one round is being sent, the next one accumulates.
func (p *Plane) sendLoop(ctx context.Context) {
	for {
		select {
		case <-p.out.wake:
		case <-ctx.Done():
			return
		}
		var group errgroup.Group
		group.SetLimit(maxSenders)
		for node, letters := range p.out.takeAll() {
			group.Go(func() error { p.sendTo(ctx, node, letters); return nil })
		}
		_ = group.Wait() // always nil: failures are reported to the requests that wait
	}
}

// sendTo sends the frames for one node.
func (p *Plane) sendTo(ctx context.Context, node membership.NodeID, letters []frame) {
	err := p.opts.Transport.Send(ctx, node, batches(p.opts.Self, letters))
	if err == nil {
		p.stats.sent.Add(uint64(len(letters)))
		return
	}
	p.stats.dropped.Add(uint64(len(letters))) // or fewer: the transport does not report which ones
	for _, l := range letters {
		if l.onSendFailed != nil {
			l.onSendFailed(node)
		}
	}
}

func batches(from membership.NodeID, letters []frame) (all []string) {
	head := appendBatchHead(nil, from)
	b := head
	for i := range letters {
		if len(b) > len(head) && len(b)+letters[i].size() > batchBytes {
			all, b = append(all, string(b)), head
		}
		b = appendFrame(b[:len(b):len(b)], &letters[i])
	}
	return append(all, string(b))
}
