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

// maxRequests bounds what other nodes have this one do at the same time: each is a goroutine that may wait for a client for
// minutes. Full: a request is refused with an error.
const maxRequests = 4096

// requests are those of other nodes that are worked on here.
type requests struct {
	mu  sync.Mutex
	all map[requestKey]context.CancelFunc
}

type requestKey struct {
	from membership.NodeID
	id   uint64
}

func (r *requests) add(key requestKey, cancel context.CancelFunc) bool {
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

// end cancels a request if it is still worked on.
func (r *requests) end(key requestKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.all[key]; cancel != nil {
		cancel()
		delete(r.all, key)
	}
}

// atOnce is the context of sends from other nodes: who has no room goes without. To wait for a slow client would hold up
// everybody else's.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// read does what stands in a batch. What cannot be read is of a version that this node does not speak.
func (p *Plane) read(ctx context.Context, server member, batch string) {
	from, letters, err := readBatch(batch)
	if err != nil {
		p.stats.dropped.Add(1)
	}
	p.stats.received.Add(uint64(len(letters)))
	for i := range letters {
		p.take(ctx, server, from, &letters[i])
	}
}

func (p *Plane) take(ctx context.Context, server member, from membership.NodeID, l *letter) {
	switch l.kind {
	case kindSend:
		p.deliver(server, l.body)
	case kindAsk:
		p.accept(ctx, server, from, l)
	case kindForget:
		p.requests.end(requestKey{from, l.id})
	case kindAnswer, kindFailed, kindAbsent, kindWorking:
		if q := p.asked.find(l.id); q != nil {
			q.hear(from, l)
		} else if l.kind == kindAnswer {
			p.stats.late.Add(1)
		}
	}
}

func (p *Plane) deliver(server member, message []byte) {
	var se *signalr.SendError
	switch err := server.Deliver(atOnce, message); {
	case err == nil:
	case errors.As(err, &se) && len(se.Full) > 0:
		p.stats.noRoom.Add(1)
	default:
		p.stats.dropped.Add(1)
	}
}

// accept begins to work on a request if its connection is here.
func (p *Plane) accept(ctx context.Context, server member, from membership.NodeID, l *letter) {
	reply := letter{id: l.id}
	if server.Conn(l.name) == nil {
		reply.kind = kindAbsent
		_ = p.send(reply, from) // lost: the other side loses patience
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
		defer p.requests.end(key)
		p.answer(ctx, server, key, l.body)
	})
}

// answer works on a request and says so again and again, until there is an answer or nobody waits for it.
func (p *Plane) answer(ctx context.Context, server member, key requestKey, message []byte) {
	done := make(chan letter, 1)
	p.answering.Go(func() {
		l := letter{kind: kindAnswer, id: key.id}
		var err error
		if l.body, err = server.Answer(ctx, message); err != nil {
			l.kind, l.body = kindFailed, []byte(err.Error())
		}
		done <- l
	})
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case l := <-done:
			if ctx.Err() != nil { // both may be ready
				return
			}
			_ = p.send(l, key.from) // lost: the other side loses patience
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !slices.Contains(p.opts.Nodes(), key.from) {
				return // who asked is gone
			}
			_ = p.send(letter{kind: kindWorking, id: key.id}, key.from) // the next one may arrive
		}
	}
}
