// Package backplane connects the SignalR servers of the nodes. It implements signalr.Backplane over a transport that carries bytes
// from node to node. Sends go to every other node, because only the node of a connection knows its groups. A request goes to every
// other node too, and the node that has the connection replies.
//
// The package stores nothing and retries nothing. What the transport loses, or does not fit into the outbox, is one backplane
// message; what must arrive is in an inbox and does not use the backplane. If the transport is unavailable, clients of this node
// still get their sends, and requests to other nodes fail with an error.
//
// # Requests
//
// A client may take minutes to reply, and its node may fail meanwhile. So the node that has the connection sends a progress frame
// every second, and the requesting node gives up after three seconds without one. A node without the connection says so; when all
// nodes have, the request ends with signalr.ErrNoConnection. A late reply is ignored.
//
// Concurrency: every method may be called from any goroutine, Run once. No method blocks longer than its context; only Run uses the
// transport.
package backplane

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/signalr"
)

// transport carries batches between nodes, each at most once and in order.
type transport interface {
	Send(ctx context.Context, to membership.NodeID, batches []string) error
	Receive(ctx context.Context, handle func(batch string)) error
	Dropped() uint64 // received batches that were dropped because the handler was too slow
}

// server is the SignalR server of this node.
type server interface {
	Conn(id string) *signalr.Conn
	Deliver(ctx context.Context, message []byte) error
	Answer(ctx context.Context, message []byte) ([]byte, error)
}

// Options configure a Plane; all fields are required.
type Options struct {
	Self      membership.NodeID
	Nodes     func() []membership.NodeID // ids of the live nodes of the cluster; may include this node
	Transport transport
}

// Plane is this node's end of the backplane of one hub.
type Plane struct {
	opts    Options
	out     *outbox
	pending pendingRequests
	stats   counters
	ended   chan struct{} // closed when Run has returned

	answering sync.WaitGroup
	requests  servedRequests
}

var _ signalr.Backplane = (*Plane)(nil)

// New returns a Plane. Frames that are sent before Run are queued.
func New(o Options) *Plane {
	return &Plane{opts: o, out: newOutbox(), ended: make(chan struct{})}
}

// Errors of Publish and Request.
var (
	ErrFull        = errors.New("backplane: the outbox to the other nodes is full")
	ErrUnreachable = errors.New("backplane: not every node could be reached")
	ErrTimeout     = errors.New("backplane: the node of the client sent no progress in time")
	errEnded       = errors.New("backplane: this node is leaving the cluster")
)

const (
	progressInterval = time.Second          // time between two progress frames
	progressTimeout  = 3 * progressInterval // time without a progress frame after which a request fails; two may be lost
)

// Publish implements signalr.Backplane. An error means that no other node gets the message; nil does not mean that all of them do.
func (p *Plane) Publish(_ context.Context, _ signalr.Target, message []byte) error {
	return p.send(frame{kind: kindSend, body: message}, p.others()...)
}

// Request implements signalr.Backplane.
func (p *Plane) Request(ctx context.Context, connectionID string, message []byte) ([]byte, error) {
	others := p.others()
	if len(others) == 0 {
		return nil, signalr.ErrNoConnection
	}
	id, q := p.pending.add(others)
	defer p.pending.remove(id)
	l := frame{kind: kindRequest, id: id, name: connectionID, body: message, onSendFailed: q.sendFailed}
	if err := p.send(l, others...); err != nil {
		return nil, err
	}
	answer, err := p.wait(ctx, q)
	if ctx.Err() != nil || errors.Is(err, ErrTimeout) {
		_ = p.send(frame{kind: kindCancel, id: id}, others...) // if it is lost, the other node stops when its client replies
	}
	return answer, err
}

func (p *Plane) wait(ctx context.Context, q *pendingRequest) ([]byte, error) {
	quiet := time.NewTimer(progressTimeout)
	defer quiet.Stop()
	for {
		select {
		case o := <-q.done:
			return o.answer, o.err
		case <-q.progress:
			quiet.Reset(progressTimeout)
		case <-quiet.C:
			return nil, ErrTimeout
		case <-p.ended:
			return nil, errEnded
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (p *Plane) others() []membership.NodeID {
	var others []membership.NodeID
	for _, node := range p.opts.Nodes() {
		if node != p.opts.Self {
			others = append(others, node)
		}
	}
	return others
}

// send queues a frame for each of the nodes.
func (p *Plane) send(l frame, to ...membership.NodeID) error {
	select {
	case <-p.ended:
		return errEnded
	default:
	}
	if len(to) > 0 && !p.out.push(l, to) {
		p.stats.dropped.Add(uint64(len(to)))
		return ErrFull
	}
	return nil
}

// Run sends and receives frames until ctx ends, and returns nil. No goroutine is left behind.
func (p *Plane) Run(ctx context.Context, server server) error {
	var parts sync.WaitGroup
	defer close(p.ended)
	defer p.answering.Wait()
	defer parts.Wait()
	parts.Go(func() { p.sendLoop(ctx) })
	_ = p.opts.Transport.Receive(ctx, func(batch string) { p.handleBatch(ctx, server, batch) }) // returns only when ctx ends
	return nil
}

// Stats holds counters of frames since the start; a send to three nodes counts three times.
type Stats struct {
	Sent     uint64
	Received uint64
	Dropped  uint64 // frames that did not fit into the outbox, were refused by the transport, or could not be decoded
	NoRoom   uint64 // sends of other nodes that did not fit into some client's queue
	Late     uint64 // replies that arrived after the request had ended
	Batches  uint64 // received batches that were dropped as a whole
}

type counters struct{ sent, received, dropped, noRoom, late atomic.Uint64 }

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	return Stats{
		p.stats.sent.Load(), p.stats.received.Load(), p.stats.dropped.Load(), p.stats.noRoom.Load(), p.stats.late.Load(),
		p.opts.Transport.Dropped(),
	}
}
