package cache_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/cache"
)

// source is the source of truth behind the caches: numbered rows of text, each with its version and tags.
type source struct {
	sync.Mutex
	rows  map[int]string
	tags  map[int][]string
	asked [][]int       // keys of each call
	takes time.Duration // duration of each call in fake time; the rows are read at its beginning
	fails error
}

func newSource(rows map[int]string) *source { return &source{rows: rows, tags: map[int][]string{}} }

func (s *source) load(ctx context.Context, keys []int) ([]cache.Entry[string], error) {
	step(ctx)
	s.Lock()
	s.asked = append(s.asked, append([]int{}, keys...))
	entries := make([]cache.Entry[string], len(keys))
	for i, key := range keys {
		entries[i].Value, entries[i].Found = s.rows[key]
		entries[i].Tags = s.tags[key]
	}
	takes, fails := s.takes, s.fails
	s.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return entries, fails
}

func (s *source) set(key int, value string) {
	s.Lock()
	defer s.Unlock()
	s.rows[key] = value
}

func (s *source) change(change func()) {
	s.Lock()
	defer s.Unlock()
	change()
}

func (s *source) calls() int {
	s.Lock()
	defer s.Unlock()
	return len(s.asked)
}

// numbers is the KeyCodec of integer keys.
var numbers = cache.KeyCodec[int]{Name: strconv.Itoa, Parse: strconv.Atoi}

type options = cache.Options[int, string]

// newCache returns a cache of a source; change may be nil.
func newCache(s *source, change func(*options)) *cache.Cache[int, string] {
	o := options{Name: "rows", Load: s.load, Keys: numbers, Entries: 1000, TTL: 10 * time.Second, Jitter: -1}
	if change != nil {
		change(&o)
	}
	return cache.New(o)
}

// second returns the options of the second level for rows.
func second(ttl time.Duration) *cache.Second[string] {
	return &cache.Second[string]{
		TTL: ttl, MissTTL: ttl / 2,
		Encode: func(dst []byte, v string) []byte { return append(dst, v...) },
		Decode: func(text []byte) (string, error) { return string(text), nil },
	}
}

// node is a node of a cluster: its level, its Shared, and one cache.
type node struct {
	*cache.Cache[int, string]
	level  *level
	shared *cache.Shared
}

// newNode returns a node whose Shared does not run; change may be nil.
func newNode(r *memory, s *source, change func(*options)) *node {
	n := &node{level: r.node()}
	n.shared = cache.NewShared(n.level, cache.SharedOptions{})
	n.Cache = newCache(s, func(o *options) {
		o.Shared, o.Second = n.shared, second(time.Minute)
		if change != nil {
			change(o)
		}
	})
	return n
}

// cluster runs nodes in a synctest bubble until the test ends.
func cluster(t *testing.T, count int, s *source, change func(*options), test func(r *memory, nodes []*node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, nodes := newMemory(), make([]*node, count)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		for i := range nodes {
			nodes[i] = newNode(r, s, change)
			running.Go(func() { _ = nodes[i].shared.Run(ctx) })
		}
		advance(time.Second)
		for i, n := range nodes {
			if !n.shared.Subscribed() {
				t.Fatalf("node %d hears nothing", i)
			}
		}
		test(r, nodes)
	})
}

// advance advances the fake time.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// expectValue checks the value of a key; "" stands for not found.
func expectValue(t *testing.T, c interface {
	Get(ctx context.Context, key int) (string, bool, error)
}, key int, want string,
) {
	t.Helper()
	got, found, err := c.Get(t.Context(), key)
	if err != nil || got != want || found != (want != "") {
		t.Errorf("%d is %q, %t, %v; want %q", key, got, found, err, want)
	}
}
