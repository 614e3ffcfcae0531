package backplane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/signalr"
)

// maxRequests bounds the requests of other nodes that this node processes concurrently. Each is a goroutine that may wait minutes
// for a client. Beyond it, requests fail with an error.
const maxRequests = 4096

// servedRequests holds the requests of other nodes that are processed here.
type servedRequests struct {
	mu  sync.Mutex
	all map[requestKey]context.CancelFunc
}

type requestKey struct {
	from membership.NodeID
	id   uint64
}

func (r *servedRequests) add(key requestKey, cancel context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.all[key]; twice || len(r.all) >= maxRequests {
		return false
	}
	if r.all == nil {
		r.all = make(map[requestKey]context.CancelFunc)
	}
	r.all[key] = cancel
	return true
}

// cancel cancels a request if it is still being processed.
func (r *servedRequests) cancel(key requestKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.all[key]; cancel != nil {
		cancel()
		delete(r.all, key)
	}
}

// noWait is the context of sends from other nodes: a client whose queue is full misses the message. Waiting for one slow client
// would delay every other client.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// handleBatch handles the frames of a batch. A malformed batch comes from a version that this node does not understand.
func (p *Plane) handleBatch(ctx context.Context, server server, batch string) {
	from, letters, err := readBatch(batch)
	if err != nil {
		p.stats.dropped.Add(1)
	}
	p.stats.received.Add(uint64(len(letters)))
	for i := range letters {
		p.handleFrame(ctx, server, from, &letters[i])
	}
}

func (p *Plane) handleFrame(ctx context.Context, server server, from membership.NodeID, l *frame) {
	switch l.kind {
	case kindSend:
		p.deliver(server, l.body)
	case kindRequest:
		p.handleRequest(ctx, server, from, l)
	case kindCancel:
		p.requests.cancel(requestKey{from, l.id})
	case kindAnswer, kindFailed, kindNoConnection, kindProgress:
		if q := p.pending.find(l.id); q != nil {
			q.handleReply(from, l)
		} else if l.kind == kindAnswer {
			p.stats.late.Add(1)
		}
	}
}

func (p *Plane) deliver(server server, message []byte) {
	var se *signalr.SendError
	switch err := server.Deliver(noWait, message); {
	case err == nil:
	case errors.As(err, &se) && len(se.Full) > 0:
		p.stats.noRoom.Add(1)
	default:
		p.stats.dropped.Add(1)
	}
}

// handleRequest starts processing a request if this node has its connection.
func (p *Plane) handleRequest(ctx context.Context, server server, from membership.NodeID, l *frame) {
	reply := frame{id: l.id}
	if server.Conn(l.name) == nil {
		reply.kind = kindNoConnection
		_ = p.send(reply, from) // if it is lost, the request times out at the other node
		return
	}
	key := requestKey{from, l.id}
	ctx, cancel := context.WithCancel(ctx)
	if !p.requests.add(key, cancel) {
		cancel()
		reply.kind, reply.body = kindFailed, []byte("backplane: the client's node works on too many requests")
		_ = p.send(reply, from) // as above
		return
	}
	p.answering.Go(func() {
		defer p.requests.cancel(key)
		p.answer(ctx, server, key, l.body)
	})
}

// answer processes a request and sends progress frames, until there is a reply or the other node no longer waits.
func (p *Plane) answer(ctx context.Context, server server, key requestKey, message []byte) {
	done := make(chan frame, 1)
	p.answering.Go(func() {
		l := frame{kind: kindAnswer, id: key.id}
		var err error
		if l.body, err = server.Answer(ctx, message); err != nil {
			l.kind, l.body = kindFailed, []byte(err.Error())
		}
		done <- l
	})
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case l := <-done:
			if ctx.Err() != nil { // both channels may be ready
				return
			}
			_ = p.send(l, key.from) // if it is lost, the request times out at the other node
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !slices.Contains(p.opts.Nodes(), key.from) {
				return // the requesting node is gone
			}
			_ = p.send(frame{kind: kindProgress, id: key.id}, key.from) // if it is lost, the next one may arrive
		}
	}
}
