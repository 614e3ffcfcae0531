// Package redis is what the nodes of a cluster share besides the store: who is connected where, which nodes live, hints
// from node to node, quotas that count together, and the second level of the cache. All of it lives on Redis or on a
// Redis Cluster, and none of it is truth: Redis may forget everything or be away at any time, and that costs latency.
//
// It decides nothing, keeps no message, and knows no business. Every key carries its own slot or a hash tag; there is no
// command over several slots and none that walks the keys.
//
// # When Redis is away
//
// A node starts without it: Open gives a client that keeps trying. Every call ends within Options.Timeout, or within a few
// of them for thousands of recipients, with ErrAway. The library below waits for some things without looking at the
// clock (another caller's connect, a place in a connection's queue), so each exchange runs on a goroutine of its own,
// which a caller leaves behind when its time is over; how many there are is bounded. In a Redis Cluster with one master
// away, what belongs to the others is done, and the error says that not everything was.
//
// Nothing is repeated here: who called knows better whether it still matters.
//
// # Trust
//
// Redis is not trusted with contents. Hints, posts, invalidations and cached values are sealed, so a reader of Redis does not
// see them and a writer cannot make, change, redirect or repeat one. Entries of the registry are signed, so that a gateway
// without a secret can verify them. Presence and quotas are plain, because the server calculates with them: a writer can
// make them wrong, which costs latency, or a share of a quota.
//
// Concurrency: every method of every type may be called from any goroutine.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Options say where Redis is and how long to wait for it; the zero value of a field means its default.
type Options struct {
	URL      string                        // --redis-url: one redis:// or rediss:// URL, or the addresses of a Redis Cluster with commas between
	Node     membership.NodeID             // of this node
	Keys     *keyring.Ring                 // of the cluster: seals messages and values, signs the registry; nil: the client can only read the registry
	Trusted  keyring.Verifier              // of the registry's entries; default: Keys
	Prefix   string                        // of every key; default "esh3ar:"
	Timeout  time.Duration                 // of one exchange; default 500 ms
	Cache    int                           // bytes of values kept on this side, for each server; default 16 MiB
	Guard    func(func() error) error      // a breaker around every call; it hears of an error only when nothing of the call came through; default: none
	OnChange func(part string, down error) // a part (the connection, a subscription) is in force, or why it is not; must be quick and must not call the client; default: none

	// OnRefused reports that something in Redis was not made by a node of this cluster, or is not meant for this place, or came
	// before. It is called at most once a minute for each part, and must be quick; default: none.
	OnRefused func(part string, err error)
}

func (o *Options) setDefaults() {
	if o.Prefix == "" {
		o.Prefix = "esh3ar:"
	}
	if o.Timeout == 0 {
		o.Timeout = 500 * time.Millisecond // some hundred times what Redis takes; a phone waits for none of it
	}
	if o.Cache == 0 {
		o.Cache = 16 << 20
	}
	if o.Guard == nil {
		o.Guard = func(f func() error) error { return f() }
	}
	if o.OnChange == nil {
		o.OnChange = func(string, error) {}
	}
	if o.OnRefused == nil {
		o.OnRefused = func(string, error) {}
	}
	if o.Trusted == nil && o.Keys != nil {
		o.Trusted = o.Keys
	}
}

// Pauses between tries to connect or to subscribe: double from the first to the last.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Client is this node's way to Redis.
type Client struct {
	opts  Options
	dial  rueidis.ClientOption
	conn  atomic.Pointer[rueidis.Client] // nil: not connected yet
	slots chan struct{}                  // one for each exchange under way; full: a call waits for a place until its time is over; Close takes them all
	stats counters
	seals seals

	plainUntil atomic.Int64 // Unix nanoseconds: until then the servers are taken to know no sharded channels

	stop   context.CancelFunc
	closed <-chan struct{} // after stop: no exchange begins
	keeper sync.WaitGroup  // of keep
	close  sync.Once
}

// maxExchanges bounds those under way at the same time. With the timeouts below they cannot fill the queue of a connection
// that is silent before it is given up: exchanges per timeout × timeouts until then < queueScale.
const (
	maxExchanges = 256
	queueScale   = 12              // the queue of a connection takes 2^12 exchanges
	silence      = 2 * time.Second // how long a connection may be silent before it is given up
)

// Open gives a client of the servers at the URL. That they are away is no error: it tries again and again until Close. An
// error means that the URL is wrong, or that the servers answered and will not have us; it names --redis-url.
func Open(ctx context.Context, o Options) (*Client, error) {
	dial, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("--redis-url: %w", err)
	}
	if o.Node == "" {
		return nil, errors.New("open redis: the node has no id")
	}
	o.setDefaults()
	if o.Trusted == nil {
		return nil, errors.New("open redis: there are no keys to verify with")
	}
	tune(&dial, o)
	c := &Client{opts: o, dial: dial, slots: make(chan struct{}, maxExchanges), seals: newSeals(o.Keys)}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.closed = stop, running.Done()
	first := make(chan error, 1)
	c.keeper.Go(func() { c.keep(running, first) })
	select {
	case err = <-first:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// tune sets what the promises of this package rest on.
func tune(dial *rueidis.ClientOption, o Options) {
	dial.Dialer.Timeout = silence / 2
	dial.Dialer.KeepAlive = silence / 2 // also how often an idle connection is asked whether it lives
	dial.ConnWriteTimeout = silence / 2
	dial.DisableRetry = true
	dial.RingScaleEachConn = queueScale
	dial.PipelineMultiplex = -1 // one connection for each server: what Level believes rests on their being in one order
	dial.CacheSizeEachConn = o.Cache
	dial.ReadBufferEachConn, dial.WriteBufferEachConn = 64<<10, 64<<10
	dial.ClientName = "esh3ar"
	dial.ClusterOption.ShardsRefreshInterval = 10 * time.Second // a cluster that changed while nobody was redirected
}

// keep connects, and tries again until it has; from then on the library keeps the connections. The outcome of the first
// try goes to first: nil too where the servers are away.
func (c *Client) keep(ctx context.Context, first chan<- error) {
	refusedLast := false
	for try, pause := 0, time.Duration(0); rest(ctx, pause); try, pause = try+1, min(max(2*pause, firstPause), lastPause) {
		err := c.connect()
		if try == 0 {
			first <- onlyRefusal(err)
		}
		if err == nil || try == 0 || refused(err) != refusedLast {
			c.opts.OnChange("connection", err)
		}
		if err == nil || try == 0 && refused(err) {
			return
		}
		refusedLast = refused(err)
	}
}

func (c *Client) connect() error {
	conn, err := rueidis.NewClient(c.dial)
	if err == nil {
		c.conn.Store(&conn)
	}
	return err
}

// onlyRefusal is the error for an operator who starts a node; silence is none.
func onlyRefusal(err error) error {
	if err == nil || !refused(err) {
		return nil
	}
	return fmt.Errorf("--redis-url: %w", explain(err))
}

// rest waits and tells whether ctx still goes on.
func rest(ctx context.Context, pause time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refused tells an answer that another try would not change from silence.
func refused(err error) bool {
	if errors.Is(err, rueidis.ErrNoCache) {
		return true
	}
	answer, ok := rueidis.IsRedisErr(err)
	return ok && !passing(answer)
}

// explain adds what an operator can do.
func explain(err error) error {
	switch text := err.Error(); {
	case errors.Is(err, rueidis.ErrNoCache):
		return fmt.Errorf("the server is too old; Redis 6 or newer is needed: %w", err)
	case strings.Contains(text, "cluster support disabled"):
		return fmt.Errorf("several addresses mean a Redis Cluster, and the server is none: %w", err)
	default:
		return fmt.Errorf("the server answers: %w", err)
	}
}

// Close ends the connections; calls under way, and those after it, end with ErrAway. Nothing of the client runs afterwards.
func (c *Client) Close() { c.close.Do(c.end) }

func (c *Client) end() {
	c.stop()
	c.keeper.Wait()
	if conn := c.conn.Load(); conn != nil {
		(*conn).Close()
	}
	for range maxExchanges {
		c.slots <- struct{}{} // not a WaitGroup: callers may still come, and Add beside Wait is a race
	}
}

// Ping asks one server whether it is there.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.each(ctx, opPing, 1, func(b rueidis.Builder, _ int) rueidis.Completed { return b.Ping().Build() })
	return err
}

// caughtUp asks every server on the connection that carries everything else, and tells whether all that it said before was
// heard. A connection that is dead has nothing left to say: what was kept for it here ended with it.
func (c *Client) caughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	conn := c.conn.Load()
	if conn == nil {
		return false
	}
	var group errgroup.Group
	for _, server := range (*conn).Nodes() {
		group.Go(func() error {
			if err := server.Do(ctx, server.B().Ping().Build()).Error(); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		})
	}
	return group.Wait() == nil
}
