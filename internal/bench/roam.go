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

// roamers are phones that ask a gateway where to connect, and ask again when their connection ends: what Microsoft's clients
// do with automatic reconnect. So they leave a node that drains for one that has room. Now and then each hangs up by itself, as
// phones do, so that new nodes get some.
type roamers struct {
	gateway  string        // its URL
	operator string        // URL of a node, since a gateway does not forward calls of operators
	around   time.Duration // in which each hangs up once
	sends    bool          // acknowledge without wanting a completion
	ledger   *ledger
	client   http.Client
	all      []*roamer
	done     sync.WaitGroup
	stop     context.CancelFunc
	moved    atomic.Int64 // connections that a node closed with leave to come back
}

// roamer is one of them.
type roamer struct {
	token string
	inbox inbox
	mu    sync.Mutex
	conn  *signalrclient.Conn // nil: it looks for a node
}

// connect brings phones online, recipient 0 up to count. They roam until close, which is to be called also if it fails.
func (r *roamers) connect(ctx context.Context, adminToken string, count int) error {
	roaming, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.all = stop, make([]*roamer, count)
	var group errgroup.Group
	group.SetLimit(32) // as many look for a node at once
	for i := range r.all {
		one := &roamer{inbox: inbox{ledger: r.ledger, sends: r.sends}}
		r.all[i] = one
		group.Go(func() (err error) {
			if one.token, err = deviceToken(ctx, &r.client, r.operator, adminToken, recipientOf(i)); err != nil {
				return err
			}
			return r.settle(ctx, one)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("connect phones: %w", err)
	}
	for _, one := range r.all {
		r.done.Go(func() { r.live(roaming, one) })
	}
	r.done.Go(func() { r.ping(roaming) })
	r.done.Go(func() { r.wander(roaming) })
	return nil
}

// comeBack is how long a phone waits before it looks for a node again: nobody is there for a moment when a node was killed.
const comeBack = 200 * time.Millisecond

// live takes what comes to one phone, over one connection after the other.
func (r *roamers) live(ctx context.Context, one *roamer) {
	for ctx.Err() == nil {
		if conn := one.online(); conn != nil {
			if goodbye, ok := errors.AsType[*signalrclient.ErrClosed](one.inbox.read(conn)); ok && goodbye.Reconnect {
				r.moved.Add(1)
			}
			one.leave()
		}
		if r.settle(ctx, one) != nil {
			_ = pause(ctx, comeBack) // the loop asks ctx
		}
	}
}

// settleWithin bounds one try: the node that was named may hang.
const settleWithin = 10 * time.Second

// settle looks for a node and connects a phone to it.
func (r *roamers) settle(ctx context.Context, one *roamer) error {
	try, cancel := context.WithTimeout(ctx, settleWithin)
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

func (one *roamer) online() *signalrclient.Conn {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.conn
}

// leave ends the connection, if there is one.
func (one *roamer) leave() {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.conn != nil {
		_ = one.conn.Close() // politely: acknowledgements on their way still count
		one.conn = nil
	}
}

// ping keeps all phones alive.
func (r *roamers) ping(ctx context.Context) {
	for pause(ctx, pingEvery) == nil {
		for _, one := range r.all {
			if conn := one.online(); conn != nil {
				_ = conn.Ping() // whoever reads it sees that it is gone
			}
		}
	}
}

// wander has one phone after the other hang up. It comes back at once, to the node that has most room then.
func (r *roamers) wander(ctx context.Context) {
	for i := 0; pause(ctx, r.around/time.Duration(len(r.all))) == nil; i++ {
		r.all[i%len(r.all)].leave()
	}
}

// close ends all connections, and waits until nobody looks for another.
func (r *roamers) close() {
	if r.stop != nil {
		r.stop()
	}
	for _, one := range r.all {
		one.leave()
	}
	r.done.Wait()
	r.client.CloseIdleConnections()
}
