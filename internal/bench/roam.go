package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/phone"
)

// roamers are phones that ask a gateway where to connect, and ask again when their connection ends: what Microsoft's clients
// do with automatic reconnect. So they leave a node that drains for one that has room.
type roamers struct {
	gateway string // its URL
	client  *http.Client
	all     []*roamer
	done    sync.WaitGroup
	stop    context.CancelFunc
	moves   atomic.Int64 // connections after the first
}

// roamer is one of them.
type roamer struct {
	token string
	inbox inbox
	mu    sync.Mutex
	conn  *phone.Conn // nil: it looks for a node
}

// connectRoamers brings phones online, recipient 0 up to count. They roam until close.
func connectRoamers(ctx context.Context, gateway, adminToken string, count int, sends bool, l *ledger) (*roamers, error) {
	r := &roamers{gateway: gateway, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}, all: make([]*roamer, count)}
	roaming, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	var group errgroup.Group
	group.SetLimit(32)
	for i := range r.all {
		r.all[i] = &roamer{inbox: inbox{ledger: l, sends: sends}}
		group.Go(func() (err error) {
			if r.all[i].token, err = deviceToken(ctx, r.client, gateway, adminToken, recipientOf(i)); err != nil {
				return err
			}
			return r.all[i].connect(ctx, r)
		})
	}
	if err := group.Wait(); err != nil {
		r.close()
		return nil, fmt.Errorf("connect phones: %w", err)
	}
	for _, one := range r.all {
		r.done.Go(func() { r.live(roaming, one) })
	}
	r.done.Go(func() { r.ping(roaming) })
	return r, nil
}

// comeBack is how long a phone waits before it looks for a node again: nobody is there for a moment when a node was killed.
const comeBack = 200 * time.Millisecond

// live takes what comes to one phone, over one connection after the other.
func (r *roamers) live(ctx context.Context, one *roamer) {
	for ctx.Err() == nil {
		if conn := one.online(); conn != nil {
			one.inbox.read(conn)
			one.leave()
		}
		if one.connect(ctx, r) != nil {
			_ = pause(ctx, comeBack) // the loop asks ctx
			continue
		}
		r.moves.Add(1)
	}
}

// connectWithin bounds one try: the node that was named may hang.
const connectWithin = 10 * time.Second

// connect looks for a node and connects to it.
func (one *roamer) connect(ctx context.Context, r *roamers) error {
	try, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	to, err := r.negotiate(try, one.token)
	if err != nil {
		return err
	}
	conn, err := phone.Dial(try, to)
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

func (one *roamer) online() *phone.Conn {
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

// negotiate asks the gateway for a node, and gets a token for it.
func (r *roamers) negotiate(ctx context.Context, token string) (c phone.Config, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.gateway+phone.Path+"/negotiate?negotiateVersion=1", bytes.NewReader(nil))
	if err != nil {
		return c, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := r.client.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return c, err
	}
	var answer struct{ URL, AccessToken string }
	if err := json.Unmarshal(text, &answer); err != nil || answer.URL == "" {
		return c, fmt.Errorf("negotiate: %s: %s", resp.Status, text)
	}
	return phone.Config{URL: answer.URL, Token: answer.AccessToken, Buffer: 1024}, nil
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

// close ends all connections, and waits until nobody looks for another.
func (r *roamers) close() {
	r.stop()
	for _, one := range r.all {
		if one != nil {
			one.leave()
		}
	}
	r.done.Wait()
	r.client.CloseIdleConnections()
}
