package backplane_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/cluster/backplane"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
	"github.com/esh3artech/esh3ar/signalr"
)

// ring is the keyring of the cluster in every test.
var ring = keyring.Generate(time.Now)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	// The library closes some connections seconds after a cluster has dropped them. Waiting for that would take too long.
	if err := goleak.Find(
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
	); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// servers is a Redis server or a Redis Cluster.
type servers struct {
	url  string
	kill func() error
}

// onBoth runs a test against both topologies, with servers that it may stop.
func onBoth(t *testing.T, test func(ctx context.Context, t *testing.T, s servers)) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs redis-server")
	}
	run := func(name string, start func(ctx context.Context, dir string) (servers, error)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // bounds a hang
			t.Cleanup(cancel)
			s, err := start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.kill() }) // it may have been stopped already
			test(ctx, t, s)
		})
	}
	run("single", func(ctx context.Context, dir string) (servers, error) {
		s, err := redisproc.StartSingle(ctx, dir)
		if err != nil {
			return servers{}, err
		}
		return servers{s.URL(), s.Kill}, nil
	})
	run("cluster", func(ctx context.Context, dir string) (servers, error) {
		c, err := redisproc.StartCluster(ctx, dir, 3)
		if err != nil {
			return servers{}, err
		}
		return servers{c.URL(), c.Kill}, nil
	})
}

// node is a SignalR server with its end of the backplane.
type node struct {
	*signalr.Server
	t     *testing.T
	plane *backplane.Plane
	redis *redis.Client
	web   *httptest.Server
	met   chan *signalr.Conn
	leave func() // leaves the backplane, as a stopping node does
}

// cluster is a list of live nodes.
type cluster struct {
	mu  sync.Mutex
	ids []membership.NodeID
}

func (c *cluster) nodes() []membership.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}

func (c *cluster) start(ctx context.Context, t *testing.T, url string, id membership.NodeID) *node {
	t.Helper()
	n := &node{t: t, met: make(chan *signalr.Conn, 8)}
	var err error
	if n.redis, err = redis.Open(ctx, redis.Options{URL: url, Node: id, Keys: ring}); err != nil {
		t.Fatal(err)
	}
	n.plane = backplane.New(backplane.Options{Self: id, Nodes: c.nodes, Transport: n.redis.BatchTransport("hub")})
	hub := signalr.NewHub()
	hub.OnConnected = func(c *signalr.Conn) error { n.met <- c; return nil }
	n.Server = signalr.NewServer(hub, signalr.Options{
		Backplane: n.plane, Pollers: -1,
		Authenticate: func(r *http.Request) (signalr.Identity, error) {
			return signalr.Identity{UserID: r.URL.Query().Get("user")}, nil
		},
	})
	n.web = httptest.NewServer(n.Server)
	var server, plane sync.WaitGroup
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	joined, leave := context.WithCancel(context.WithoutCancel(ctx))
	server.Go(func() { _ = n.Server.Run(serving) }) // nil, or the test sees the error
	plane.Go(func() { _ = n.plane.Run(joined, n.Server) })
	n.leave = func() { leave(); plane.Wait() }
	t.Cleanup(func() {
		n.leave()
		stop()
		server.Wait()
		n.web.Close()
		n.redis.Close()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = append(c.ids, id)
	return n
}

// together starts nodes and waits until each receives frames of each other.
func together(ctx context.Context, t *testing.T, url string, ids ...membership.NodeID) (*cluster, []*node) {
	t.Helper()
	var c cluster
	var nodes []*node
	for _, id := range ids {
		nodes = append(nodes, c.start(ctx, t, url, id))
	}
	for _, n := range nodes {
		for {
			if _, err := n.Client("nobody").Invoke(ctx, "Hello"); errors.Is(err, signalr.ErrNoConnection) {
				break // every other node was received
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	return &c, nodes
}

func want(t *testing.T, got []string, methods ...string) {
	t.Helper()
	if !slices.Equal(got, methods) {
		t.Errorf("got %v, want %v", got, methods)
	}
}

func TestPlane_Publish_ReachesOtherNodes(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two", "three")
		one, two, three := nodes[0], nodes[1], nodes[2]
		a, b, c := one.dial(ctx, "json", "amal"), two.dial(ctx, "json", "badr"), three.dial(ctx, "json", "amal")
		p := three.dial(ctx, "messagepack", "pari")
		for _, err := range []error{
			one.JoinGroup(ctx, b.conn.ID(), "g"),
			three.JoinGroup(ctx, a.conn.ID(), "g"),
			one.All().Send(ctx, "all"),
			one.Group("g").Send(ctx, "group"),
			one.User("amal").Send(ctx, "user"),
			one.AllExcept(b.conn.ID(), a.conn.ID()).Send(ctx, "except"),
			one.Client(c.conn.ID()).TrySend("client"),
			one.LeaveGroup(ctx, b.conn.ID(), "g"),
			one.Group("g").Send(ctx, "left"),
			one.All().Send(ctx, "end"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want(t, a.methods("end"), "all", "group", "user", "left", "end")
		want(t, b.methods("end"), "all", "group", "end")
		want(t, c.methods("end"), "all", "user", "except", "client", "end")
		p.until("the end, in MessagePack", "\xa3end")
		if st := two.plane.Stats(); st.Received == 0 || st.Dropped != 0 || st.Batches != 0 || st.NoRoom != 0 {
			t.Errorf("%+v", st)
		}
		if st := one.plane.Stats(); st.Sent == 0 || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// invoke sends a request on a goroutine of its own.
func (n *node) invoke(ctx context.Context, id string) (<-chan signalr.Raw, <-chan error) {
	raws, errs := make(chan signalr.Raw, 1), make(chan error, 1)
	go func() {
		raw, err := n.Client(id).Invoke(ctx, "Guess", "a")
		raws <- raw
		errs <- err
	}()
	return raws, errs
}

func TestPlane_Request_ReturnsTheReply(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two", "three")
		one, two := nodes[0], nodes[1]
		for protocol, value := range map[string]string{"json": `{"n": 300}`, "messagepack": "\x81\xa1n\xcd\x01\x2c"} {
			c := two.dial(ctx, protocol, "badr")
			raws, errs := one.invoke(ctx, c.conn.ID())
			c.result(c.asked("Guess"), value)
			if raw, err := <-raws, <-errs; err != nil || raw.Protocol != protocol || string(raw.Data) != value {
				t.Errorf("%s: %+v %v", protocol, raw, err)
			}
		}
		c := two.dial(ctx, "json", "badr")
		_, errs := one.invoke(ctx, c.conn.ID())
		c.do("POST", []byte(`{"type":3,"invocationId":"`+c.asked("Guess")+`","error":"no idea"}`+"\x1e"))
		var he *signalr.HubError
		if err := <-errs; !errors.As(err, &he) || he.Message != "no idea" {
			t.Error(err)
		}

		canceled, cancel := context.WithCancel(ctx)
		_, errs = one.invoke(canceled, c.conn.ID())
		late := c.asked("Guess")
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		raws, errs := one.invoke(ctx, c.conn.ID()) // the reply to the previous request must not end this one
		id := c.asked("Guess")
		c.result(late, "1")
		c.result(id, "2")
		if raw, err := <-raws, <-errs; err != nil || string(raw.Data) != "2" {
			t.Errorf("%+v %v", raw, err)
		}
		if one.plane.Stats().Late != 0 {
			t.Error("the other node still worked on what nobody waited for")
		}
	})
}

// TestPlane_RedisDown_LocalSendsWork: clients of this node get their sends, and requests to clients of other nodes fail with an
// error.
func TestPlane_RedisDown_LocalSendsWork(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two")
		one, two := nodes[0], nodes[1]
		a, b := one.dial(ctx, "json", "amal"), two.dial(ctx, "json", "badr")
		_, errs := one.invoke(ctx, b.conn.ID())
		b.asked("Guess")
		if err := s.kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; !errors.Is(err, backplane.ErrTimeout) {
			t.Errorf("asked before: %v", err)
		}
		if _, err := one.Client(b.conn.ID()).Invoke(ctx, "Guess"); !errors.Is(err, backplane.ErrUnreachable) {
			t.Errorf("asked while it is away: %v", err)
		}
		if err := one.JoinGroup(ctx, b.conn.ID(), "g"); !errors.Is(err, backplane.ErrUnreachable) {
			t.Errorf("joined while it is away: %v", err)
		}
		if err := one.All().Send(ctx, "all"); err != nil {
			t.Error(err)
		}
		want(t, a.methods("all"), "all")
		if one.plane.Stats().Dropped == 0 {
			t.Error("what was lost is not counted")
		}
	})
}

// TestPlane_NodeDies_RequestFails: the requesting caller does not wait for ever. Once the node is gone from the list, the
// connection does not exist.
func TestPlane_NodeDies_RequestFails(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		list, nodes := together(ctx, t, s.url, "one", "two")
		one, two := nodes[0], nodes[1]
		b := two.dial(ctx, "json", "badr")
		_, errs := one.invoke(ctx, b.conn.ID())
		b.asked("Guess")
		two.leave()
		if err := <-errs; !errors.Is(err, backplane.ErrTimeout) {
			t.Error(err)
		}
		if err := two.All().Send(ctx, "gone"); err == nil {
			t.Error("a node that has left still sends")
		}
		list.mu.Lock()
		list.ids = list.ids[:1]
		list.mu.Unlock()
		if _, err := one.Client(b.conn.ID()).Invoke(ctx, "Guess"); !errors.Is(err, signalr.ErrNoConnection) {
			t.Error(err)
		}
	})
}

// TestPlane_SlowReply_KeptAliveByProgress: a reply may take longer than the progress timeout, because the node of the client sends
// progress frames.
func TestPlane_SlowReply_KeptAliveByProgress(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two")
		one, two := nodes[0], nodes[1]
		b := two.dial(ctx, "json", "badr")
		before := one.plane.Stats().Received
		raws, errs := one.invoke(ctx, b.conn.ID())
		id := b.asked("Guess")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for one.plane.Stats().Received < before+4 { // four progress frames: longer than the timeout of three
			select {
			case err := <-errs:
				t.Fatal(err)
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("no beats")
			}
		}
		b.result(id, "5")
		if raw, err := <-raws, <-errs; err != nil || string(raw.Data) != "5" {
			t.Errorf("%+v %v", raw, err)
		}
	})
}
