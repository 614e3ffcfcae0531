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

// reconnectingClients are phones that negotiate through a gateway and negotiate again when their connection ends, as
// Microsoft's clients with automatic reconnect do. So they leave a draining node for one with free capacity. Each
// disconnects once per period, so that new nodes get connections.
type reconnectingClients struct {
	gateway  string        // its URL
	operator string        // URL of a node: the gateway does not forward admin calls
	around   time.Duration // period in which each client disconnects once
	sends    bool          // acknowledge without requesting a completion
	ledger   *ledger
	client   http.Client
	all      []*reconnectingClient
	done     sync.WaitGroup
	stop     context.CancelFunc
	moved    atomic.Int64 // connections that a node closed with allowReconnect
}

// reconnectingClient is one of them.
type reconnectingClient struct {
	token string
	inbox inbox
	mu    sync.Mutex
	conn  *signalrclient.Conn // nil while it negotiates; guarded by mu
}

// connect brings the phones with recipient indexes 0 to count-1 online. They reconnect until close, which must be called
// even if connect fails.
func (r *reconnectingClients) connect(ctx context.Context, adminToken string, count int) error {
	roaming, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.all = stop, make([]*reconnectingClient, count)
	var group errgroup.Group
	group.SetLimit(32) // concurrent negotiations
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

// reconnectDelay is the pause after a failed reconnect, for example while a killed node restarts.
const reconnectDelay = 200 * time.Millisecond

// serve receives the messages of one phone over successive connections.
func (r *reconnectingClients) serve(ctx context.Context, one *reconnectingClient) {
	for ctx.Err() == nil {
		if conn := one.online(); conn != nil {
			if goodbye, ok := errors.AsType[*signalrclient.ErrClosed](one.inbox.read(conn)); ok && goodbye.Reconnect {
				r.moved.Add(1)
			}
			one.leave()
		}
		if r.reconnect(ctx, one) != nil {
			_ = pause(ctx, reconnectDelay) // the loop checks ctx
		}
	}
}

// reconnectTimeout bounds one attempt: the chosen node may hang.
const reconnectTimeout = 10 * time.Second

// reconnect negotiates a node and connects a phone to it.
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
		return errors.Join(ctx.Err(), conn.Vanish()) // close has already visited this client
	}
	return nil
}

func (one *reconnectingClient) online() *signalrclient.Conn {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.conn
}

// leave closes the connection, if there is one.
func (one *reconnectingClient) leave() {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.conn != nil {
		_ = one.conn.Close() // with a close message, so that pending acknowledgements are sent
		one.conn = nil
	}
}

// ping sends the keep-alives of all phones.
func (r *reconnectingClients) ping(ctx context.Context) {
	for pause(ctx, pingEvery) == nil {
		for _, one := range r.all {
			if conn := one.online(); conn != nil {
				_ = conn.Ping() // the reader detects a broken connection
			}
		}
	}
}

// disconnectInTurn disconnects one phone after the other. Each reconnects at once, to the node with the most free
// capacity.
func (r *reconnectingClients) disconnectInTurn(ctx context.Context) {
	for i := 0; pause(ctx, r.around/time.Duration(len(r.all))) == nil; i++ {
		r.all[i%len(r.all)].leave()
	}
}

// close ends all connections and waits for the goroutines.
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
