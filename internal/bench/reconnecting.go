package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// reconnectingClients are phones that ask a gateway where to connect, and ask again when their connection ends: what Microsoft's clients
// do with automatic reconnect. So they leave a node that drains for one that has room. Now and then each hangs up by itself, as
// phones do, so that new nodes get some.
type reconnectingClients struct {
	gateway  string        // its URL
	operator string        // URL of a node, since a gateway does not forward calls of operators
	around   time.Duration // in which each hangs up once
	sends    bool          // acknowledge without wanting a completion
	ledger   *ledger
	client   http.Client
	all      []*reconnectingClient
	done     sync.WaitGroup
	stop     context.CancelFunc
	moved    atomic.Int64 // connections that a node closed with leave to come back
}

// reconnectingClient is one of them.
type reconnectingClient struct {
	token string
	inbox inbox
	mu    sync.Mutex
	conn  *signalrclient.Conn // nil: it looks for a node
}

// connect brings phones online, recipient 0 up to count. They roam until close, which is to be called also if it fails.
func (r *reconnectingClients) connect(ctx context.Context, adminToken string, count int) error {
	roaming, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.all = stop, make([]*reconnectingClient, count)
	var group errgroup.Group
	group.SetLimit(32) // as many look for a node at once
	for i := range r.all {
		one := &reconnectingClient{inbox: inbox{ledger: r.ledger, sends: r.sends}}
		r.all[i] = one
		group.Go(func() (err error) {
			if one.token, err = deviceToken(ctx, &r.client, r.operator, adminToken, recipientOf(i)); err != nil {
				return err
			}
			return r.reconnect(ctx, one)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("connect phones: %w", err)
	}
	for _, one := range r.all {
		r.done.Go(func() { r.serve(roaming, one) })
	}
	r.done.Go(func() { r.ping(roaming) })
	r.done.Go(func() { r.disconnectInTurn(roaming) })
	return nil
}

// reconnectDelay is how long a phone waits before it looks for a node again: nobody is there for a moment when a node was killed.
const reconnectDelay = 200 * time.Millisecond

// serve takes what comes to one phone, over one connection after the other.
func (r *reconnectingClients) serve(ctx context.Context, one *reconnectingClient) {
	for ctx.Err() == nil {
		if conn := one.online(); conn != nil {
			if goodbye, ok := errors.AsType[*signalrclient.ErrClosed](one.inbox.read(conn)); ok && goodbye.Reconnect {
				r.moved.Add(1)
			}
			one.leave()
		}
		if r.reconnect(ctx, one) != nil {
			_ = pause(ctx, reconnectDelay) // the loop asks ctx
		}
	}
}

// reconnectTimeout bounds one try: the node that was named may hang.
const reconnectTimeout = 10 * time.Second

// reconnect looks for a node and connects a phone to it.
func (r *reconnectingClients) reconnect(ctx context.Context, one *reconnectingClient) error {
	try, cancel := context.WithTimeout(ctx, reconnectTimeout)
	defer cancel()
	to, err := signalrclient.Negotiate(try, &r.client, signalrclient.Config{URL: r.gateway, Token: one.token, Buffer: 1024})
	if err != nil {
		return err
	}
	conn, err := signalrclient.Dial(try, to)
	if err != nil {
		return err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.conn = conn; ctx.Err() != nil {
		return errors.Join(ctx.Err(), conn.Vanish()) // nobody would end it
	}
	return nil
}

func (one *reconnectingClient) online() *signalrclient.Conn {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.conn
}

// leave ends the connection, if there is one.
func (one *reconnectingClient) leave() {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.conn != nil {
		_ = one.conn.Close() // politely: acknowledgements on their way still count
		one.conn = nil
	}
}

// ping keeps all phones alive.
func (r *reconnectingClients) ping(ctx context.Context) {
	for pause(ctx, pingEvery) == nil {
		for _, one := range r.all {
			if conn := one.online(); conn != nil {
				_ = conn.Ping() // whoever reads it sees that it is gone
			}
		}
	}
}

// disconnectInTurn has one phone after the other hang up. It comes back at once, to the node that has most room then.
func (r *reconnectingClients) disconnectInTurn(ctx context.Context) {
	for i := 0; pause(ctx, r.around/time.Duration(len(r.all))) == nil; i++ {
		r.all[i%len(r.all)].leave()
	}
}

// close ends all connections, and waits until nobody looks for another.
func (r *reconnectingClients) close() {
	if r.stop != nil {
		r.stop()
	}
	for _, one := range r.all {
		one.leave()
	}
	r.done.Wait()
	r.client.CloseIdleConnections()
}
