// Package redis implements what the nodes of a cluster share besides the store: presence, the registry of nodes, hints between
// nodes, shared quotas, and the second level of the cache. All of it is stored in Redis or a Redis Cluster, and none of it is
// authoritative: Redis may lose everything or be unavailable at any time, which only costs latency.
//
// The package makes no decisions and stores no messages. Every key has its own slot or a hash tag. No command spans several slots,
// and none scans the keys.
//
// # When Redis is unavailable
//
// A node starts without it: Open returns a client that keeps connecting. Every call returns within Options.Timeout, or within a few
// timeouts for thousands of recipients, with ErrAway. The library below waits for some things without a timeout (another caller's
// connect, a slot in a connection's queue). So each exchange runs on a goroutine of its own, which the caller abandons after the
// timeout; the number of these goroutines is bounded. If one master of a Redis Cluster is down, the commands for the others are
// performed, and the error reports that not all were.
//
// Nothing is retried here: the caller knows better whether the operation still matters.
//
// # Trust
//
// Redis is not trusted with contents. Hints, batches, invalidations and cached values are sealed: a reader of Redis cannot see
// them, and a writer cannot forge, change, redirect or replay one. Entries of the registry are signed, so that a gateway without a
// secret can verify them. Presence and quotas are plain, because the server calculates with them. A writer can falsify them, which
// costs latency, or a share of a quota.
//
// Concurrency: every method of every type may be called from any goroutine.
package redis

import (
	"cmp"
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

// Options configure a Client; the zero value of a field selects its default.
type Options struct {
	URL      string                        // --redis-url: one redis:// or rediss:// URL, or the addresses of a Redis Cluster separated by commas
	Node     membership.NodeID             // id of this node
	Keys     *keyring.Ring                 // keys of the cluster, which seal messages and values and sign the registry; nil if the client only reads the registry
	Trusted  keyring.Verifier              // verifies entries of the registry; default: Keys
	Prefix   string                        // prefix of every key; default "esh3ar:"
	Timeout  time.Duration                 // limit of one exchange; default 500 ms
	Cache    int                           // size in bytes of the client-side cache per server; default 16 MiB
	Guard    func(func() error) error      // circuit breaker around every call; gets an error only if the call failed as a whole; default: none
	OnChange func(part string, down error) // called when a part (the connection, a subscription) is established, or with the error when it is lost; must not block and must not call the client; default: none

	// OnRefused is called when something in Redis was not made by a node of this cluster, is not meant for this place, or is a
	// replay. It is called at most once a minute per part, and must not block; default: none.
	OnRefused func(part string, err error)
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "esh3ar:")
	o.Timeout = cmp.Or(o.Timeout, 500*time.Millisecond) // a few hundred times the usual duration; no phone waits for any of these calls
	o.Cache = cmp.Or(o.Cache, 16<<20)
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
	return o
}

// Backoff between attempts to connect or subscribe, doubling from firstPause to lastPause.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Client is this node's connection to Redis.
type Client struct {
	opts    Options
	dial    rueidis.ClientOption
	conn    atomic.Pointer[rueidis.Client] // nil until the first connection
	slots   chan struct{}                  // one per exchange in progress; when it is full, calls wait for a slot until their timeout; Close fills it
	stats   counters
	sealers sealers

	plainUntil atomic.Int64 // Unix nanoseconds; until then the servers are assumed not to support sharded channels

	stop       context.CancelFunc
	closed     <-chan struct{} // done after stop; no exchange begins any more
	background sync.WaitGroup  // tracks the goroutine of connectLoop
	close      sync.Once
}

// maxExchanges bounds the concurrent exchanges. With the timeouts below they cannot fill the queue of an unresponsive connection
// before it is closed: exchanges per timeout × timeouts until then < 1<<queueScale.
const (
	maxExchanges = 256
	queueScale   = 12              // the queue of a connection has 1<<12 entries
	idleTimeout  = 2 * time.Second // time without an answer after which a connection is closed
)

// Open returns a client of the servers in the URL. Unreachable servers are not an error: the client retries until Close. An error
// means that the URL is invalid or that the servers refused the client; it names --redis-url.
func Open(ctx context.Context, o Options) (*Client, error) {
	dial, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("--redis-url: %w", err)
	}
	if o.Node == "" {
		return nil, errors.New("open redis: the node has no id")
	}
	o = o.withDefaults()
	if o.Trusted == nil {
		return nil, errors.New("open redis: there are no keys to verify with")
	}
	tune(&dial, o)
	c := &Client{opts: o, dial: dial, slots: make(chan struct{}, maxExchanges), sealers: newSealers(o.Keys)}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.closed = stop, running.Done()
	first := make(chan error, 1)
	c.background.Go(func() { c.connectLoop(running, first) })
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

// tune sets the connection options on which the guarantees of this package depend.
func tune(dial *rueidis.ClientOption, o Options) {
	dial.Dialer.Timeout = idleTimeout / 2
	dial.Dialer.KeepAlive = idleTimeout / 2 // also the interval at which an idle connection is checked
	dial.ConnWriteTimeout = idleTimeout / 2
	dial.DisableRetry = true
	dial.RingScaleEachConn = queueScale
	dial.PipelineMultiplex = -1 // one connection per server: Level relies on the order of its messages
	dial.CacheSizeEachConn = o.Cache
	dial.ReadBufferEachConn, dial.WriteBufferEachConn = 64<<10, 64<<10
	dial.ClientName = "esh3ar"
	dial.ClusterOption.ShardsRefreshInterval = 10 * time.Second // to notice changes of the cluster without a redirection
}

// connectLoop connects, with retries until it succeeds; afterwards the library maintains the connections. It sends the result of
// the first attempt to first, nil if the servers are unreachable.
func (c *Client) connectLoop(ctx context.Context, first chan<- error) {
	refusedLast := false
	for try, pause := 0, time.Duration(0); sleep(ctx, pause); try, pause = try+1, min(max(2*pause, firstPause), lastPause) {
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

// onlyRefusal returns the error for an operator who starts a node. An unreachable server is not one.
func onlyRefusal(err error) error {
	if err == nil || !refused(err) {
		return nil
	}
	return fmt.Errorf("--redis-url: %w", explain(err))
}

// sleep waits and reports whether ctx is still active.
func sleep(ctx context.Context, pause time.Duration) bool {
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

// refused reports whether err is an answer that a retry would not change.
func refused(err error) bool {
	if errors.Is(err, rueidis.ErrNoCache) {
		return true
	}
	answer, ok := rueidis.IsRedisErr(err)
	return ok && !temporary(answer)
}

// explain adds what the operator can do.
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

// Close closes the connections. Calls in progress and later calls fail with ErrAway. No goroutine of the client is left.
func (c *Client) Close() { c.close.Do(c.shutDown) }

func (c *Client) shutDown() {
	c.stop()
	c.background.Wait()
	if conn := c.conn.Load(); conn != nil {
		(*conn).Close()
	}
	for range maxExchanges {
		c.slots <- struct{}{} // not a WaitGroup: later calls may still arrive, and Add concurrent with Wait is a race
	}
}

// Ping sends a PING to one server.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.each(ctx, opPing, 1, func(b rueidis.Builder, _ int) rueidis.Completed { return b.Ping().Build() })
	return err
}

// caughtUp sends a PING to every server on the connection that carries everything else, and reports whether all earlier messages
// were received. A dead connection has no earlier messages left: its cached values ended with it.
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
