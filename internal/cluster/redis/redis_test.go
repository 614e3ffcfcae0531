package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// ring is the keyring of the cluster in every test.
var ring = keyring.Generate(time.Now)

// topology is one server or a Redis Cluster.
type topology struct {
	name    string
	url     string
	masters []*redisproc.Server
	kill    func() error
}

// Servers of the tests that do not stop or change them; each test has its own key prefix.
var shared = map[string]func() (*topology, error){
	"single":  sync.OnceValues(func() (*topology, error) { return startShared("single") }),
	"cluster": sync.OnceValues(func() (*topology, error) { return startShared("cluster") }),
}

var (
	sharedDir string
	started   struct {
		sync.Mutex
		all []*topology
	}
)

func TestMain(m *testing.M) {
	var err error
	if sharedDir, err = os.MkdirTemp("", "esh3ar-redis"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, top := range started.all {
		_ = top.kill() // the folders are deleted next
	}
	_ = os.RemoveAll(sharedDir)
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

func startShared(name string) (*topology, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	top, err := start(ctx, name, filepath.Join(sharedDir, name))
	if err != nil {
		return nil, err
	}
	started.Lock()
	defer started.Unlock()
	started.all = append(started.all, top)
	return top, nil
}

func start(ctx context.Context, name, dir string, flags ...string) (*topology, error) {
	if name == "single" {
		s, err := redisproc.StartSingle(ctx, dir, flags...)
		if err != nil {
			return nil, err
		}
		return &topology{name, s.URL(), []*redisproc.Server{s}, s.Kill}, nil
	}
	c, err := redisproc.StartCluster(ctx, dir, 3, flags...)
	if err != nil {
		return nil, err
	}
	return &topology{name, c.URL(), c.Masters, c.Kill}, nil
}

// onBoth runs a test that does not stop servers against both topologies.
func onBoth(t *testing.T, test func(ctx context.Context, t *testing.T, top *topology)) {
	t.Parallel()
	for name, start := range shared {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			top, err := start()
			if err != nil {
				t.Fatal(err)
			}
			test(ctx, t, top)
		})
	}
}

// onOwn runs a test against both topologies, with servers that it may stop.
func onOwn(t *testing.T, test func(ctx context.Context, t *testing.T, top *topology), flags ...string) {
	t.Parallel()
	for name := range shared {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := patience(t)
			top, err := start(ctx, name, t.TempDir(), flags...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = top.kill() }) // some may have been stopped already
			test(ctx, t, top)
		})
	}
}

// patience bounds a wait that hangs; no successful wait takes that long.
func patience(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("needs redis-server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open returns a node's client. Its timeout is long, for busy machines; tests of timeouts set their own.
func open(ctx context.Context, t *testing.T, url string, node membership.NodeID, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	o := redis.Options{URL: url, Node: node, Keys: ring, Prefix: prefix(t), Timeout: 10 * time.Second}
	for _, c := range change {
		c(&o)
	}
	c, err := redis.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func prefix(t *testing.T) string { return t.Name() + ":" }

// await polls until the condition holds.
func await(ctx context.Context, t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}

// do sends a command directly to the servers and returns the answer of the one that owns the key.
func (top *topology) do(ctx context.Context, t *testing.T, args ...string) any {
	t.Helper()
	var errs []error
	for _, s := range top.masters {
		reply, err := s.Do(ctx, args...)
		if err == nil {
			return reply
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

// keys lists the keys of a test on all servers.
func (top *topology) keys(ctx context.Context, t *testing.T) (keys []string) {
	t.Helper()
	for _, s := range top.masters {
		reply, err := s.Do(ctx, "KEYS", strings.NewReplacer("[", `\[`, "]", `\]`).Replace(prefix(t))+"*")
		if err != nil {
			t.Fatal(err)
		}
		list, _ := reply.([]any)
		for _, key := range list {
			keys = append(keys, key.(string))
		}
	}
	return keys
}

// wantExpiry checks that every key of the test has an expiry.
func (top *topology) wantExpiry(ctx context.Context, t *testing.T, atMost time.Duration) {
	t.Helper()
	keys := top.keys(ctx, t)
	if len(keys) == 0 {
		t.Error("there are no keys")
	}
	for _, key := range keys {
		if ms := top.do(ctx, t, "PTTL", key).(int64); ms == -1 || ms > atMost.Milliseconds() {
			t.Errorf("key %s ends in %d ms", key, ms)
		}
	}
}

// restart starts servers again, and waits for the cluster.
func (top *topology) restart(ctx context.Context, t *testing.T, servers ...*redisproc.Server) {
	t.Helper()
	for _, s := range servers {
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if top.name == "single" {
		return
	}
	await(ctx, t, "the cluster is whole", func() bool {
		for _, s := range top.masters {
			info, err := s.Do(ctx, "CLUSTER", "INFO")
			if err != nil || !strings.Contains(info.(string), "cluster_state:ok") {
				return false
			}
		}
		return true
	})
}
