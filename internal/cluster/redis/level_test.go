package redis_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// set stores one value for an hour.
func set(ctx context.Context, t *testing.T, l *redis.Level, key, value string) {
	t.Helper()
	if err := l.SetMany(ctx, []string{key}, [][]byte{[]byte(value)}, []time.Duration{time.Hour}); err != nil {
		t.Fatal(err)
	}
}

func get(ctx context.Context, t *testing.T, l *redis.Level, key string) string {
	t.Helper()
	values, err := l.GetMany(ctx, []string{key})
	if err != nil || len(values) != 1 {
		t.Fatalf("%q, %v", values, err)
	}
	return string(values[0])
}

// listener is a minimal first level of a node.
type listener struct {
	level *redis.Level
	texts chan string
	lost  atomic.Int64
}

// subscribe subscribes until the test ends, and returns when the subscription is established.
func subscribe(ctx context.Context, t *testing.T, l *redis.Level) *listener {
	t.Helper()
	s := &listener{level: l, texts: make(chan string, 10_000)} // more than any test sends
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		err := l.Subscribe(ctx, func(text string) { s.texts <- text }, func() { s.lost.Add(1) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("subscribe ended: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); group.Wait() })
	await(ctx, t, "the subscription is in force", func() bool { return s.lost.Load() > 0 })
	return s
}

// awaitHere reads a key until the client-side cache answers.
func awaitHere(ctx context.Context, t *testing.T, c *redis.Client, l *redis.Level, key string) {
	t.Helper()
	before := c.Stats().CacheHere
	await(ctx, t, "it is read on this side", func() bool { get(ctx, t, l, key); return c.Stats().CacheHere > before })
}

func TestLevel_SetGetDelete_Table(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := open(ctx, t, top.url, "a").Level(), open(ctx, t, top.url, "b").Level()
		binary := []byte{0, 255, '\r', '\n'}
		keys := []string{"one", "empty", "two {x}", "brief"}
		if err := a.SetMany(ctx, keys, [][]byte{binary, {}, []byte("2"), []byte("b")}, []time.Duration{time.Hour, time.Minute, 24 * time.Hour, 1}); err != nil {
			t.Fatal(err)
		}
		binary[0] = 7 // the caller may modify it again
		top.wantExpiry(ctx, t, 24*time.Hour)
		await(ctx, t, "the brief one ended", func() bool { return get(ctx, t, b, "brief") == "" })
		for range 2 {
			got, err := b.GetMany(ctx, []string{"two {x}", "none", "one", "empty", "one"})
			want := [][]byte{[]byte("2"), nil, {0, 255, '\r', '\n'}, {}, {0, 255, '\r', '\n'}}
			if err != nil || !reflect.DeepEqual(got, want) { // an empty value is not nil
				t.Errorf("%q, %v", got, err)
			}
			got[2][1] = 7 // the caller may modify it
		}
		if err := errors.Join(b.Delete(ctx, []string{"one", "none"}), b.Delete(ctx, nil), b.SetMany(ctx, nil, nil, nil)); err != nil {
			t.Fatal(err)
		}
		if got, err := a.GetMany(ctx, []string{"one", "empty"}); err != nil || got[0] != nil || got[1] == nil {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := a.GetMany(ctx, nil); err != nil || len(got) != 0 {
			t.Errorf("of nothing: %q, %v", got, err)
		}
	})
}

func TestLevel_InvalidTTL_IsRefused(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		l := open(ctx, t, top.url, "a").Level()
		value := [][]byte{[]byte("v"), []byte("v")}
		for name, err := range map[string]error{
			"a time of zero":    l.SetMany(ctx, []string{"a", "b"}, value, []time.Duration{time.Hour, 0}),
			"a time below zero": l.SetMany(ctx, []string{"a", "b"}, value, []time.Duration{-1, time.Hour}),
			"too few times":     l.SetMany(ctx, []string{"a", "b"}, value, []time.Duration{time.Hour}),
			"too few values":    l.SetMany(ctx, []string{"a", "b"}, value[:1], []time.Duration{time.Hour, time.Hour}),
		} {
			if err == nil {
				t.Error(name)
			}
		}
		if keys := top.keys(ctx, t); len(keys) > 0 {
			t.Errorf("it stored %v", keys)
		}
	})
}

func TestLevel_ManyKeys_OneCall(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		l := c.Level()
		subscribe(ctx, t, l)
		const n = 1500
		keys := make([]string, n)
		values := make([][]byte, n)
		ttls := make([]time.Duration, n)
		for i := range n {
			keys[i] = strconv.Itoa(i)
			values[i] = []byte(strconv.Itoa(i * i))
			ttls[i] = time.Hour
		}
		if err := l.SetMany(ctx, keys, values, ttls); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "all are read on this side", func() bool {
			before := c.Stats().CacheHere
			got, err := l.GetMany(ctx, keys)
			if err != nil || !reflect.DeepEqual(got, values) {
				t.Fatalf("%d values, %v", len(got), err)
			}
			return c.Stats().CacheHere == before+n
		})
		if err := l.Delete(ctx, keys); err != nil {
			t.Fatal(err)
		}
		if got, err := l.GetMany(ctx, keys); err != nil || !reflect.DeepEqual(got, make([][]byte, n)) {
			t.Errorf("after the delete: %v", err)
		}
	})
}

// TestLevel_ClientCache_FollowsNotifications: without any text, the notification of the server is sufficient.
func TestLevel_ClientCache_FollowsNotifications(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		here, other := c.Level(), open(ctx, t, top.url, "b").Level()
		subscribe(ctx, t, here)
		set(ctx, t, other, "k", "old")
		awaitHere(ctx, t, c, here, "k")
		copied, err := here.GetMany(ctx, []string{"k"})
		if err != nil {
			t.Fatal(err)
		}
		copied[0][0] = 'x' // the cached value must not share memory with the caller's
		if got := get(ctx, t, here, "k"); got != "old" {
			t.Errorf("it reads %q", got)
		}
		set(ctx, t, other, "k", "new")
		await(ctx, t, "the new value is seen", func() bool { return get(ctx, t, here, "k") == "new" })
		awaitHere(ctx, t, c, here, "k")
	})
}

func TestLevel_NoSubscription_ClientCacheUnused(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		l := c.Level()
		set(ctx, t, l, "k", "v")
		for range 100 {
			get(ctx, t, l, "k")
		}
		if n := c.Stats().CacheHere; n > 0 {
			t.Errorf("%d values were read on this side", n)
		}
	})
}

// TestLevel_ReadAfterText_ReturnsNoOldValue: a caller that drops a key at a text and reads it again must not get the old value, on
// whatever servers the key and the channel are.
func TestLevel_ReadAfterText_ReturnsNoOldValue(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		here, other := subscribe(ctx, t, c.Level()), open(ctx, t, top.url, "b").Level()
		for i := range 600 {
			key := fmt.Sprint("k", i%7)
			get(ctx, t, here.level, key)
			get(ctx, t, here.level, key) // so that it is in the client-side cache if possible
			value := strconv.Itoa(i)
			set(ctx, t, other, key, value)
			if err := other.Publish(ctx, value); err != nil {
				t.Fatal(err)
			}
			select {
			case text := <-here.texts:
				if text != value {
					t.Fatalf("text %q, want %q", text, value)
				}
			case <-ctx.Done():
				t.Fatal("the text did not come")
			}
			if got := get(ctx, t, here.level, key); got != value {
				t.Fatalf("round %d reads %q after the text", i, got)
			}
		}
		if c.Stats().CacheHere == 0 {
			t.Error("nothing was read on this side: nothing was shown by this")
		}
	})
}

func TestLevel_ReadAfterDelete_FindsNothing(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		l := subscribe(ctx, t, c.Level()).level
		set(ctx, t, l, "0", "v")
		awaitHere(ctx, t, c, l, "0")
		for i := range 600 {
			key := strconv.Itoa(i % 7)
			set(ctx, t, l, key, "v")
			get(ctx, t, l, key)
			if err := l.Delete(ctx, []string{key}); err != nil {
				t.Fatal(err)
			}
			if got := get(ctx, t, l, key); got != "" {
				t.Fatalf("round %d reads %q", i, got)
			}
		}
	})
}

func TestLevel_Publish_ReachesEveryNode(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := subscribe(ctx, t, open(ctx, t, top.url, "a").Level()), subscribe(ctx, t, open(ctx, t, top.url, "b").Level())
		for i := range 200 {
			if err := a.level.Publish(ctx, strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, each := range []*listener{a, b} {
			for i := range 200 {
				if text := <-each.texts; text != strconv.Itoa(i) {
					t.Fatalf("text %d is %q", i, text)
				}
			}
			if n := each.lost.Load(); n != 1 {
				t.Errorf("told %d times that something is lost", n)
			}
		}
	})
}

// TestLevel_SubscriptionLost_CallsLost covers the loss and the renewed subscription.
func TestLevel_SubscriptionLost_CallsLost(t *testing.T) {
	onOwn(t, func(ctx context.Context, t *testing.T, top *topology) {
		c := open(ctx, t, top.url, "a")
		l := subscribe(ctx, t, c.Level())
		await(ctx, t, "a value is there", func() bool {
			return l.level.SetMany(ctx, []string{"k"}, [][]byte{{1}}, []time.Duration{time.Hour}) == nil
		})
		awaitHere(ctx, t, c, l.level, "k")
		if err := top.kill(); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "told that it broke", func() bool { return l.lost.Load() >= 2 })
		if values, err := l.level.GetMany(ctx, []string{"k"}); !errors.Is(err, redis.ErrAway) || len(values) != 1 || values[0] != nil {
			t.Errorf("while Redis is away: %q, %v", values, err)
		}
		broken, subscribed := l.lost.Load(), c.Stats().Subscribed
		top.restart(ctx, t, top.masters...)
		await(ctx, t, "told that it is back", func() bool { return c.Stats().Subscribed > subscribed && l.lost.Load() > broken })
		await(ctx, t, "texts arrive", func() bool { _ = l.level.Publish(ctx, "x"); return len(l.texts) > 0 })
		await(ctx, t, "a value is there again", func() bool {
			return l.level.SetMany(ctx, []string{"k"}, [][]byte{{1}}, []time.Duration{time.Hour}) == nil
		})
		awaitHere(ctx, t, c, l.level, "k")
	})
}

// TestLevel_QueueFull_CallsLost: texts that do not fit into the queue are reported as lost and delay nothing.
func TestLevel_QueueFull_CallsLost(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		c, other := open(ctx, t, top.url, "a"), open(ctx, t, top.url, "b").Level()
		l := c.Level()
		gate, last := make(chan struct{}), make(chan struct{})
		var lost, told atomic.Int64
		ctx, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		group.Go(func() {
			_ = l.Subscribe(ctx, func(text string) { // ends with ctx
				<-gate
				told.Add(1)
				if text == "last" {
					close(last)
				}
			}, func() { lost.Add(1) })
		})
		t.Cleanup(func() { cancel(); group.Wait() })
		await(ctx, t, "the subscription is in force", func() bool { return lost.Load() == 1 })
		const texts = 1500
		for range texts {
			if err := other.Publish(ctx, "text"); err != nil {
				t.Fatal(err)
			}
		}
		await(ctx, t, "all have come", func() bool { s := c.Stats(); return s.Invalidations+s.InvalidationsLost == 1+texts })
		kept := c.Stats().Invalidations
		if kept == texts {
			t.Fatal("none was too many")
		}
		get(ctx, t, l, "k") // must not block
		close(gate)
		await(ctx, t, "that is told, and all that was kept", func() bool { return lost.Load() == 2 && told.Load() == int64(kept) })
		if err := other.Publish(ctx, "last"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-last:
		case <-ctx.Done():
			t.Error("the last text did not come")
		}
	})
}

// TestLevel_OneMasterPaused_TextsStillArrive pauses a master that holds values.
func TestLevel_OneMasterPaused_TextsStillArrive(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	top, err := start(ctx, "cluster", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.kill() }) // the data is not needed
	c := open(ctx, t, top.url, "a", func(o *redis.Options) { o.Timeout = 200 * time.Millisecond })
	l, other := subscribe(ctx, t, c.Level()), open(ctx, t, top.url, "b").Level()
	slot := top.do(ctx, t, "CLUSTER", "KEYSLOT", "{invalidations}").(int64)
	owner := int(slot) * len(top.masters) / 16384
	if err := top.masters[(owner+1)%len(top.masters)].Pause(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		await(ctx, t, "a text arrives", func() bool { _ = other.Publish(ctx, strconv.Itoa(i)); return len(l.texts) > 0 })
		<-l.texts
	}
	if err := top.masters[(owner+1)%len(top.masters)].Resume(); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "a value is there", func() bool {
		return l.level.SetMany(ctx, []string{"k"}, [][]byte{{1}}, []time.Duration{time.Hour}) == nil
	})
	await(ctx, t, "it is read on this side", func() bool {
		_, _ = l.level.GetMany(ctx, []string{"k"}) // may still fail for a while
		return c.Stats().CacheHere > 0
	})
}
