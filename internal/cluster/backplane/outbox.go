package backplane

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Bounds of what waits to be sent, and of a batch. A letter that is larger alone goes alone.
const (
	waitingLetters = 4096
	waitingBytes   = 16 << 20
	batchBytes     = 64 << 10
	nodesAside     = 8 // nodes that are sent to at the same time: one behind a silent server holds up no other
)

// outbox holds the letters for each node, in order. Full: a letter is refused, for all of its nodes.
type outbox struct {
	wake chan struct{} // of one: there is something

	mu struct {
		sync.Mutex
		letters map[membership.NodeID][]letter
		n, size int
	}
}

func newOutbox() *outbox {
	o := &outbox{wake: make(chan struct{}, 1)}
	o.mu.letters = make(map[membership.NodeID][]letter)
	return o
}

func (o *outbox) put(l letter, to []membership.NodeID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := o.mu.n+len(to), o.mu.size+len(to)*l.size()
	if n > waitingLetters || size > waitingBytes {
		return false
	}
	o.mu.n, o.mu.size = n, size
	for _, node := range to {
		o.mu.letters[node] = append(o.mu.letters[node], l)
	}
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
	return true
}

// take empties it.
func (o *outbox) take() map[membership.NodeID][]letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.mu.letters
	o.mu.letters, o.mu.n, o.mu.size = make(map[membership.NodeID][]letter), 0, 0
	return all
}

// carry sends what waits until ctx ends: while one round is on its way, the next one gathers.
func (p *Plane) carry(ctx context.Context) {
	for {
		select {
		case <-p.out.wake:
		case <-ctx.Done():
			return
		}
		var group errgroup.Group
		group.SetLimit(nodesAside)
		for node, letters := range p.out.take() {
			group.Go(func() error { p.carryTo(ctx, node, letters); return nil })
		}
		_ = group.Wait() // always nil: what was lost is told to who waits
	}
}

func (p *Plane) carryTo(ctx context.Context, node membership.NodeID, letters []letter) {
	err := p.opts.Post.Send(ctx, node, batches(p.opts.Self, letters))
	if err == nil {
		p.stats.sent.Add(uint64(len(letters)))
		return
	}
	p.stats.dropped.Add(uint64(len(letters))) // or some of them: the post does not say which
	for _, l := range letters {
		if l.lost != nil {
			l.lost(node)
		}
	}
}

func batches(from membership.NodeID, letters []letter) (all []string) {
	head := appendBatchHead(nil, from)
	b := head
	for i := range letters {
		if len(b) > len(head) && len(b)+letters[i].size() > batchBytes {
			all, b = append(all, string(b)), head
		}
		b = appendLetter(b[:len(b):len(b)], &letters[i])
	}
	return append(all, string(b))
}
