package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestParseURL_Table(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, wrong string }{
		{"redis://127.0.0.1:6379", ""},
		{"redis://127.0.0.1:6379/", ""},
		{"redis://127.0.0.1", ""},
		{"redis://[::1]:6379/3", ""},
		{"rediss://user:p%40ss@redis.example:6380/0", ""},
		{"redis.example:6379", ""},
		{"redis://:secret@a:1,b:2, redis://c:3", ""},
		{"a:1,redis://user:secret@b:2,redis://user:secret@c:3", ""},
		{"", "it is empty"},
		{"a:1,", "address 2: it is empty"},
		{"http://a:1", "begins with http://"},
		{"redis://", "no host"},
		{"redis://:6379", "no host"},
		{"redis://user:secret@:6379", "no host"},
		{"redis://a:65536", "65536 is not one of"},
		{"redis://a:0", "0 is not one of"},
		{"redis://user:secret@a:port", "no URL"},
		{"redis://user:se%cret@a:1", "no URL"},
		{"redis://a:1/x", `database "x"`},
		{"redis://a:1/-1", `database "-1"`},
		{"redis://a:1/1/2", `database "1/2"`},
		{"redis://a:1?db=3", "after a ?"},
		{"redis://a:1,b:2/1", "no database but 0"},
		{"redis://u:secret@a:1,redis://u:other@b:2", "address 2: another user or password"},
		{"redis://u:secret@a:1,redis://v:secret@b:2", "address 2: another user or password"},
	} {
		err := redis.CheckURL(test.url)
		if test.wrong == "" && err != nil {
			t.Errorf("%q: %v", test.url, err)
		}
		if test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%q: %v, want %q", test.url, err, test.wrong)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "other@")) {
			t.Errorf("%q: the error tells the password: %v", test.url, err)
		}
		if test.wrong == "" {
			continue // the host names do not exist
		}
		if _, err := redis.Open(t.Context(), redis.Options{URL: test.url, Node: "a", Keys: ring}); err == nil || !strings.HasPrefix(err.Error(), "--redis-url: ") {
			t.Errorf("%q: open: %v", test.url, err)
		}
	}
}

// TestOpen_ServerRefuses_Fails: an operator gets the error at the start.
func TestOpen_ServerRefuses_Fails(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		for _, s := range top.masters {
			if _, err := s.Do(ctx, "CONFIG", "SET", "requirepass", "right"); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct{ url, wrong string }{
			{top.url, "NOAUTH"},
			{"redis://:wrong@" + top.masters[0].Addr, "WRONGPASS"},
			{"redis://nobody:right@" + top.masters[0].Addr, "WRONGPASS"},
		} {
			c, err := redis.Open(ctx, redis.Options{URL: test.url, Node: "a", Keys: ring})
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "--redis-url: ") || !strings.Contains(err.Error(), test.wrong) || strings.Contains(err.Error(), "right") {
				t.Errorf("%s: %v", test.url, err)
			}
		}
		url := "redis://:right@" + strings.TrimPrefix(top.url, "redis://")
		if err := open(ctx, t, url, "a").Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestOpen_SeveralAddresses_UsesCluster(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	top, err := shared["single"]()
	if err != nil {
		t.Fatal(err)
	}
	for url, wrong := range map[string]string{
		top.url + "," + top.url: "several addresses mean a Redis Cluster",
		top.url + "/1000":       "DB index",
	} {
		if c, err := redis.Open(ctx, redis.Options{URL: url, Node: "a", Keys: ring}); err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), "--redis-url") {
			t.Errorf("%s: %v, %v", url, c, err)
		}
	}
	if _, err := redis.Open(ctx, redis.Options{URL: top.url, Keys: ring}); err == nil {
		t.Error("opened for a node without an id")
	}
	if _, err := redis.Open(ctx, redis.Options{URL: top.url, Node: "a"}); err == nil {
		t.Error("opened without a key to verify with")
	}
	cluster, err := shared["cluster"]()
	if err != nil {
		t.Fatal(err)
	}
	one := open(ctx, t, "redis://"+cluster.masters[1].Addr, "a") // one address of a cluster is enough
	if err := one.Presence().Assert(ctx, someRecipients(50)); err != nil {
		t.Error(err)
	}
}

// TestOpen_RedisUnavailable_ConnectsLater: the node starts anyway, and connects when Redis is available.
func TestOpen_RedisUnavailable_ConnectsLater(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		if err := top.kill(); err != nil {
			t.Fatal(err)
		}
		var word changes
		c := open(ctx, t, top.url, "a", func(o *redis.Options) { o.OnChange = word.note })
		if err := c.Ping(ctx); !errors.Is(err, redis.ErrAway) {
			t.Errorf("while it is away: %v", err)
		}
		if c.Stats().Connected || word.last("connection") == nil {
			t.Error("it says that it is connected")
		}
		top.restart(ctx, t, top.masters...)
		await(ctx, t, "it is connected", func() bool { return c.Ping(ctx) == nil })
		if !c.Stats().Connected || word.last("connection") != nil || word.count("connection") != 2 {
			t.Errorf("%d words, the last is %v", word.count("connection"), word.last("connection"))
		}
		await(ctx, t, "it works", func() bool { return c.Presence().Assert(ctx, someRecipients(50)) == nil })
	})
}

// changes records the calls of OnChange.
type changes struct {
	mu   sync.Mutex
	said map[string][]error
}

func (c *changes) note(part string, down error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said == nil {
		c.said = map[string][]error{}
	}
	c.said[part] = append(c.said[part], down)
}

func (c *changes) count(part string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said[part])
}

func (c *changes) last(part string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if said := c.said[part]; len(said) > 0 {
		return said[len(said)-1]
	}
	return errors.New("nothing was said")
}

// TestClient_UnresponsiveServer_CallsTimeOut: the servers keep connections open and answer nothing. Every call must end within the
// timeout; the library alone would wait a second or more per call.
func TestClient_UnresponsiveServer_CallsTimeOut(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a", func(o *redis.Options) { o.Timeout = 50 * time.Millisecond })
		rs := someRecipients(3)
		await(ctx, t, "it works", func() bool { return c.Presence().Assert(ctx, rs) == nil })
		for _, s := range top.masters {
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
		}
		soon, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		calls := map[string]func() error{
			"assert":   func() error { return c.Presence().Assert(soon, rs) },
			"retract":  func() error { return c.Presence().Retract(soon, rs) },
			"present":  func() error { _, err := c.Presence().Nodes(soon, rs); return err },
			"announce": func() error { return announce(soon, c.Registry(), membership.Node{}) },
			"leave":    func() error { return c.Registry().Leave(soon) },
			"nodes":    func() error { _, err := c.Registry().Nodes(soon); return err },
			"send":     func() error { return c.Hints().Send(soon, "b", manyHints()) },
			"take":     func() error { _, err := c.Quotas().Take(soon, "k", redis.Bucket{Rate: 1, Burst: 1}, 1); return err },
			"get":      func() error { _, err := c.Level().GetMany(soon, []string{"k"}); return err },
			"set":      func() error { return c.Level().SetMany(soon, []string{"k"}, [][]byte{nil}, []time.Duration{1}) },
			"delete":   func() error { return c.Level().Delete(soon, []string{"k"}) },
			"publish":  func() error { return c.Level().Publish(soon, "k") },
			"ping":     func() error { return c.Ping(soon) },
		}
		for range 4 { // long enough to close the connection and its successors
			for name, call := range calls {
				if err := call(); !errors.Is(err, redis.ErrAway) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		var crowd sync.WaitGroup
		for range 2000 {
			crowd.Go(func() {
				if err := c.Presence().Assert(soon, rs); !errors.Is(err, redis.ErrAway) {
					t.Errorf("in a crowd: %v", err)
				}
			})
		}
		crowd.Wait()
		for _, s := range top.masters {
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
		}
		await(ctx, t, "it works again", func() bool { return c.Presence().Assert(ctx, rs) == nil })
	})
}

// TestClient_LibraryHangs_CallersTimeOut: callers return after their timeout, and so do callers that get no slot.
func TestClient_LibraryHangs_CallersTimeOut(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a", func(o *redis.Options) { o.Timeout = 50 * time.Millisecond })
		gate := make(chan struct{})
		gone, leave := context.WithCancel(ctx)
		leave()
		if err := c.Hang(gone, gate); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who leaves: %v", err)
		}
		var crowd sync.WaitGroup
		for range redis.MaxExchanges + 10 {
			crowd.Go(func() {
				if err := c.Hang(ctx, gate); !errors.Is(err, redis.ErrAway) {
					t.Error(err)
				}
			})
		}
		crowd.Wait()
		if err := c.Ping(ctx); !errors.Is(err, redis.ErrAway) {
			t.Errorf("with no place left: %v", err)
		}
		close(gate)
		await(ctx, t, "there are places again", func() bool { return c.Ping(ctx) == nil })
	})
}

// TestClient_OneMasterOfThreeDown_OthersWork: keys of the other masters keep working, and all keys work when it is back.
func TestClient_OneMasterOfThreeDown_OthersWork(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	top, err := start(ctx, "cluster", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.kill() }) // the data is not needed
	guarded := errors.New("not called")
	c := open(ctx, t, top.url, "a", func(o *redis.Options) {
		o.Guard = func(f func() error) error { guarded = f(); return guarded }
	})
	rs := someRecipients(600)
	if err := c.Presence().Assert(ctx, rs); err != nil {
		t.Fatal(err)
	}
	for _, victim := range top.masters {
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "a part is away", func() bool {
			nodes, err := c.Presence().Nodes(ctx, rs)
			found := 0
			for _, n := range nodes {
				found += len(n)
			}
			return errors.Is(err, redis.ErrAway) && found > len(rs)/2 && found < len(rs)
		})
		if guarded != nil {
			t.Errorf("the guard hears %v while most of it works", guarded)
		}
		if err := c.Presence().Assert(ctx, rs); !errors.Is(err, redis.ErrAway) {
			t.Error(err)
		}
		top.restart(ctx, t, victim)
		await(ctx, t, "all of it works", func() bool { return c.Presence().Assert(ctx, rs) == nil })
		if nodes, err := c.Presence().Nodes(ctx, rs); err != nil || len(nodes[0]) != 1 || len(nodes[len(rs)-1]) != 1 {
			t.Errorf("after it came back: %v", err)
		}
	}
}

func TestClient_Failover_FollowsReplica(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	cluster, err := redisproc.StartReplicated(ctx, t.TempDir(), 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Kill() }) // one node is stopped already
	a, b := open(ctx, t, cluster.URL(), "a"), open(ctx, t, cluster.URL(), "b")
	var box inbox
	receive(ctx, t, b.Hints(), box.handle)
	awaitListening(ctx, t, a.Hints(), "b", &box)
	rs := someRecipients(100)
	if err := a.Presence().Assert(ctx, rs); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Masters[0].Kill(); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "the replica has taken over", func() bool { return a.Presence().Assert(ctx, rs) == nil })
	awaitListening(ctx, t, a.Hints(), "b", &box)
}

// TestClient_RedisFlushed_Recovers flushes data and scripts during use.
func TestClient_RedisFlushed_Recovers(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		rs := someRecipients(700)
		ctx, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		defer group.Wait()
		defer stop()
		var rounds sync.WaitGroup
		rounds.Add(10)
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, err := c.Quotas().Take(ctx, "k", redis.Bucket{Rate: 1, Burst: 10}, 1)
				_, err2 := c.Registry().Nodes(ctx)
				if err := errors.Join(err, err2, c.Presence().Assert(ctx, rs), announce(ctx, c.Registry(), membership.Node{})); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if i < 10 {
					rounds.Done()
				}
			}
		})
		for _, order := range []string{"FLUSHALL", "SCRIPT"} {
			for _, s := range top.masters {
				args := []string{order}
				if order == "SCRIPT" {
					args = append(args, "FLUSH")
				}
				if _, err := s.Do(ctx, args...); err != nil {
					t.Error(err)
				}
			}
		}
		rounds.Wait()
		stop()
		group.Wait()
		after := patience(t)
		for _, s := range top.masters {
			if err := s.Flush(after); err != nil {
				t.Error(err)
			}
		}
		if nodes, err := c.Presence().Nodes(after, rs); err != nil || nodes[0] != nil {
			t.Errorf("after a wipe: %v, %v", nodes[0], err)
		}
		if err := c.Presence().Assert(after, rs); err != nil {
			t.Error(err)
		}
		if nodes, err := c.Presence().Nodes(after, rs); err != nil || len(nodes[len(rs)-1]) != 1 {
			t.Errorf("asserted after a wipe: %v", err)
		}
	})
}

func TestClient_Guard_SeesFailuresOfWholeCalls(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		var open1 error
		heard := 0
		c := open(ctx, t, top.url, "a", func(o *redis.Options) {
			o.Guard = func(f func() error) error {
				if open1 != nil {
					return open1
				}
				heard++
				return f()
			}
		})
		if err := c.Ping(ctx); err != nil || heard != 1 {
			t.Errorf("%v, %d calls", err, heard)
		}
		open1 = errors.New("circuit breaker is open")
		_, err := c.Presence().Nodes(ctx, someRecipients(3))
		if !errors.Is(err, redis.ErrAway) || !errors.Is(err, open1) || heard != 1 {
			t.Errorf("%v, %d calls", err, heard)
		}
		if values, err := c.Level().GetMany(ctx, []string{"k"}); err == nil || len(values) != 1 {
			t.Errorf("%v, %v", values, err)
		}
		for _, s := range c.Stats().Ops {
			want := map[string]redis.OpStats{"ping": {Calls: 1, Commands: 1}, "presence_nodes": {Calls: 1, Commands: 3, Errors: 1}, "cache_read": {Calls: 1, Commands: 1, Errors: 1}}[s.Name]
			counted := uint64(0)
			for _, n := range s.Classes {
				counted += n
			}
			if s.Calls != want.Calls || s.Commands != want.Commands || s.Errors != want.Errors || counted > s.Calls || (s.Took > 0) != (s.Calls > 0) {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestClient_CallerCanceled_IsNotAFailure: it says nothing about Redis.
func TestClient_CallerCanceled_IsNotAFailure(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		gone, leave := context.WithCancel(ctx)
		leave()
		if err := c.Ping(gone); !errors.Is(err, context.Canceled) || errors.Is(err, redis.ErrAway) {
			t.Error(err)
		}
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestClient_RefusedCommand_IsNotErrAway(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		top.do(ctx, t, "SET", prefix(t)+"p:{5}", "not a sorted set")
		err := c.Presence().Assert(ctx, someRecipients(1)[:0])
		if err == nil {
			err = c.Presence().Retract(ctx, append(someRecipients(2), 5))
		}
		if err == nil || errors.Is(err, redis.ErrAway) || !strings.Contains(err.Error(), "presence_retract: redis answers: WRONGTYPE") {
			t.Error(err)
		}
	})
}

func TestClient_Close_EndsCallsInProgress(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		if err := c.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		for _, s := range top.masters {
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error)
		go func() { ended <- fmt.Errorf("ended: %w", c.Presence().Assert(ctx, someRecipients(10))) }()
		await(ctx, t, "the call is under way", func() bool { return c.UnderWay() > 0 })
		c.Close()
		if err := <-ended; !errors.Is(err, redis.ErrAway) {
			t.Error(err)
		}
		if err := c.Ping(ctx); !errors.Is(err, redis.ErrAway) {
			t.Errorf("after the close: %v", err)
		}
	})
}

// TestClient_CallsDuringClose_EndSafely: a stopping node closes the client while workers still call it.
func TestClient_CallsDuringClose_EndSafely(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		for range 20 {
			c := open(ctx, t, top.url, "a")
			var callers sync.WaitGroup
			for range 8 {
				callers.Go(func() {
					for {
						if err := c.Ping(ctx); err != nil {
							if !errors.Is(err, redis.ErrAway) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			await(ctx, t, "calls are under way", func() bool { return c.UnderWay() > 0 })
			c.Close()
			callers.Wait()
			c.Close()
		}
	})
}
