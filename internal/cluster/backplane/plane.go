// Package backplane joins the SignalR servers of the nodes into one: it realises signalr.Backplane over a post that carries
// bytes from node to node. Sends go to every other node, because who is in a group is known where the connection is; a
// request goes to every other node too, and the one that holds the connection answers.
//
// It keeps nothing and repeats nothing. What the post loses, or what has no room here, is one message of the backplane; what
// must arrive is in an inbox and does not come this way. With the post away, the clients of this node still get their
// sends, and a request ends with an error.
//
// # Requests
//
// A client may take minutes to answer, and its node may die meanwhile. So the node that holds the connection says every
// second that it is working; whoever asks gives up after three seconds without a word. A node without the connection says
// so, and when all have, there is none. An answer that comes when nobody waits any more is ignored.
//
// Concurrency: every method may be called from any goroutine, Run once. Nothing here blocks a caller longer than its context;
// only Run speaks with the post.
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

// post carries batches between nodes, each at most once and in order.
type post interface {
	Send(ctx context.Context, to membership.NodeID, batches []string) error
	Receive(ctx context.Context, handle func(batch string)) error
	Dropped() uint64 // batches that came and found no room
}

// member is the server of this node.
type member interface {
	Conn(id string) *signalr.Conn
	Deliver(ctx context.Context, message []byte) error
	Answer(ctx context.Context, message []byte) ([]byte, error)
}

// Options are what a plane needs; all of them.
type Options struct {
	Self  membership.NodeID
	Nodes func() []membership.NodeID // those of the cluster that live, this one too or not
	Post  post
}

// Plane is this node's end of the backplane of one hub.
type Plane struct {
	opts  Options
	out   *outbox
	asked asked
	stats counters
	ended chan struct{} // Run has returned

	answering sync.WaitGroup
	requests  requests
}

var _ signalr.Backplane = (*Plane)(nil)

// New makes a plane. What is sent before Run waits for it.
func New(o Options) *Plane {
	return &Plane{opts: o, out: newOutbox(), ended: make(chan struct{})}
}

// Errors of a publish or a request.
var (
	ErrFull   = errors.New("backplane: too much waits to be sent to other nodes")
	ErrAway   = errors.New("backplane: not every node could be asked")
	ErrSilent = errors.New("backplane: no word of the client's node")
	errEnded  = errors.New("backplane: this node leaves the cluster")
)

const (
	beat     = time.Second // between two words of a node that works on a request
	patience = 3 * beat    // two words may be lost
)

// Publish realises signalr.Backplane. Its error means that no other node gets the message; nil does not mean that all do.
func (p *Plane) Publish(_ context.Context, _ signalr.Target, message []byte) error {
	return p.send(letter{kind: kindSend, body: message}, p.others()...)
}

// Request realises signalr.Backplane.
func (p *Plane) Request(ctx context.Context, connectionID string, message []byte) ([]byte, error) {
	others := p.others()
	if len(others) == 0 {
		return nil, signalr.ErrNoConnection
	}
	id, q := p.asked.open(others)
	defer p.asked.close(id)
	l := letter{kind: kindAsk, id: id, name: connectionID, body: message, lost: q.lost}
	if err := p.send(l, others...); err != nil {
		return nil, err
	}
	answer, err := p.wait(ctx, q)
	if ctx.Err() != nil || errors.Is(err, ErrSilent) {
		_ = p.send(letter{kind: kindForget, id: id}, others...) // lost: the other side ends when its client answers
	}
	return answer, err
}

func (p *Plane) wait(ctx context.Context, q *question) ([]byte, error) {
	quiet := time.NewTimer(patience)
	defer quiet.Stop()
	for {
		select {
		case o := <-q.done:
			return o.answer, o.err
		case <-q.beats:
			quiet.Reset(patience)
		case <-quiet.C:
			return nil, ErrSilent
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

// send queues a letter for each of the nodes.
func (p *Plane) send(l letter, to ...membership.NodeID) error {
	select {
	case <-p.ended:
		return errEnded
	default:
	}
	if len(to) > 0 && !p.out.put(l, to) {
		p.stats.dropped.Add(uint64(len(to)))
		return ErrFull
	}
	return nil
}

// Run carries until ctx ends, and leaves no goroutine behind. It returns nil.
func (p *Plane) Run(ctx context.Context, server member) error {
	var parts sync.WaitGroup
	defer close(p.ended)
	defer p.answering.Wait()
	defer parts.Wait()
	parts.Go(func() { p.carry(ctx) })
	_ = p.opts.Post.Receive(ctx, func(batch string) { p.read(ctx, server, batch) }) // only ctx ends it
	return nil
}

// Stats are counts since the start, of letters: a send to three nodes is three.
type Stats struct {
	Sent     uint64
	Received uint64
	Dropped  uint64 // no room here, not taken by the post, or unreadable
	NoRoom   uint64 // sends of other nodes that some client had no room for
	Late     uint64 // answers that nobody waited for any more
	Batches  uint64 // that came and found no room, with what was in them
}

type counters struct{ sent, received, dropped, noRoom, late atomic.Uint64 }

// Stats is how things stand.
func (p *Plane) Stats() Stats {
	return Stats{
		p.stats.sent.Load(), p.stats.received.Load(), p.stats.dropped.Load(), p.stats.noRoom.Load(), p.stats.late.Load(),
		p.opts.Post.Dropped(),
	}
}
