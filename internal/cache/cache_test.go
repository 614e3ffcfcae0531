package cache_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/cache"
)

func TestCache_GetMany_LoadsMissingKeysInOneCall(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "a", 2: "b", 3: "c"})
	c := newCache(s, nil)
	expectValue(t, c, 2, "b")
	entries, err := c.GetMany(t.Context(), []int{3, 2, 9, 1, 3})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Value, e.Found))
	}
	if want := []string{"ctrue", "btrue", "false", "atrue", "ctrue"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := [][]int{{2}, {3, 9, 1}}; !reflect.DeepEqual(s.asked, want) {
		t.Errorf("asked %v, want %v", s.asked, want)
	}
}

// TestCache_OverlappingBatches_LoadEachKeyOnce: batches that overlap wait for each other's in-flight calls, and no caller waits for
// itself.
func TestCache_OverlappingBatches_LoadEachKeyOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "a", 2: "b", 3: "c"})
		s.takes = 10 * time.Millisecond
		c := newCache(s, nil)
		var all sync.WaitGroup
		for i := range 99 {
			all.Go(func() {
				batch := [][]int{{1, 2}, {2, 3}, {3, 1}}[i%3]
				entries, err := c.GetMany(t.Context(), batch)
				if err != nil || !entries[0].Found || !entries[1].Found {
					t.Errorf("%v: %v, %v", batch, entries, err)
				}
			})
		}
		all.Wait()
		asked := map[int]int{}
		for _, keys := range s.asked {
			for _, key := range keys {
				asked[key]++
			}
		}
		if want := map[int]int{1: 1, 2: 1, 3: 1}; !reflect.DeepEqual(asked, want) {
			t.Errorf("asked %v, want each key once", asked)
		}
	})
}

func TestCache_Entries_Expire(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*options)
		key    int
		stands time.Duration
		ended  time.Duration
	}{
		"found":             {nil, 1, 9999 * time.Millisecond, 10 * time.Second},
		"from the question": {func(o *options) { o.Timeout = time.Minute }, 1, 9999 * time.Millisecond, 10 * time.Second},
		"missing":           {func(o *options) { o.MissTTL = 2 * time.Second }, 9, 1999 * time.Millisecond, 2 * time.Second},
		"missing, not kept": {nil, 9, -1, 0},
		"with jitter":       {func(o *options) { o.Jitter = 0.5 }, 1, 4999 * time.Millisecond, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSource(map[int]string{1: "a"})
				if name == "from the question" {
					s.takes = 3 * time.Second
				}
				c, begun := newCache(s, test.change), time.Now()
				_, _, _ = c.Get(t.Context(), test.key)
				if test.stands >= 0 {
					advance(time.Until(begun.Add(test.stands)))
					if _, _, err := c.Get(t.Context(), test.key); err != nil || s.calls() != 1 {
						t.Errorf("after %s it was asked for again: %v", test.stands, err)
					}
				}
				advance(time.Until(begun.Add(test.ended)))
				if _, _, err := c.Get(t.Context(), test.key); err != nil || s.calls() != 2 {
					t.Errorf("after %s it was asked for %d times, want 2: %v", test.ended, s.calls(), err)
				}
			})
		})
	}
}

func TestCache_Jitter_SpreadsExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, keys := newSource(map[int]string{}), make([]int, 200)
		for i := range keys {
			keys[i], s.rows[i] = i, "x"
		}
		c := newCache(s, func(o *options) { o.Jitter = 0.5 })
		_, _ = c.GetMany(t.Context(), keys)
		advance(7500 * time.Millisecond)
		_, _ = c.GetMany(t.Context(), keys)
		if n := len(s.asked[1]); n < 50 || n > 150 {
			t.Errorf("%d of 200 had ended in the middle of the jitter", n)
		}
	})
}

// TestCache_NotFoundOfEarlierCall_NotReused: a "not found" may have been true only before a later caller joined the call.
func TestCache_NotFoundOfEarlierCall_NotReused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keep time.Duration
		want string
	}{"where that is not kept": {0, "new"}, "where it is kept": {time.Second, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSource(map[int]string{})
				s.takes = 10 * time.Millisecond
				c := newCache(s, func(o *options) { o.MissTTL = test.keep })
				var early sync.WaitGroup
				early.Go(func() { expectValue(t, c, 1, "") })
				advance(5 * time.Millisecond)
				s.set(1, "new")
				expectValue(t, c, 1, test.want)
				early.Wait()
			})
		})
	}
}

func TestCache_RefreshAhead_BlocksOneCallerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "old"})
		c := newCache(s, func(o *options) { o.RefreshAhead = true })
		expectValue(t, c, 1, "old")
		advance(4999 * time.Millisecond)
		expectValue(t, c, 1, "old")
		if s.calls() != 1 {
			t.Error("renewed in the first half of its time")
		}
		advance(time.Millisecond)
		s.change(func() {
			s.rows[1] = "new"
			s.takes = time.Second
		})
		var renewing sync.WaitGroup
		renewing.Go(func() { expectValue(t, c, 1, "new") })
		synctest.Wait()
		for range 10 {
			expectValue(t, c, 1, "old")
		}
		if s.calls() != 2 {
			t.Errorf("asked %d times", s.calls())
		}
		renewing.Wait()
		expectValue(t, c, 1, "new")
	})
}

// TestCache_RefreshFindsNothing_EndsTheEntry covers caches that do not store "not found".
func TestCache_RefreshFindsNothing_EndsTheEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "old"})
		c := newCache(s, func(o *options) { o.RefreshAhead = true })
		expectValue(t, c, 1, "old")
		advance(6 * time.Second)
		s.change(func() { delete(s.rows, 1) })
		expectValue(t, c, 1, "")
		expectValue(t, c, 1, "")
	})
}

func TestCache_ZeroTTL_StoresNothing(t *testing.T) {
	t.Parallel()
	c := newCache(newSource(nil), nil)
	for i := range 100 {
		expectValue(t, c, i, "")
	}
	if n := c.Stats().Size; n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestCache_FailedLoad_KeepsFreshEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, broken := newSource(map[int]string{1: "a", 2: "b"}), errors.New("broken")
		c := newCache(s, func(o *options) { o.RefreshAhead = true })
		expectValue(t, c, 1, "a")
		advance(6 * time.Second)
		s.fails = broken
		expectValue(t, c, 1, "a")
		if s.calls() != 2 {
			t.Error("no renewal was tried")
		}
		if _, err := c.GetMany(t.Context(), []int{1, 2}); !errors.Is(err, broken) {
			t.Errorf("a batch with a key that nobody knows: %v", err)
		}
		advance(4 * time.Second)
		if _, _, err := c.Get(t.Context(), 1); !errors.Is(err, broken) {
			t.Errorf("after its time: %v", err)
		}
		if stats := c.Stats(); stats.LoadErrors != 3 || stats.Loads != 4 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestCache_LoaderWithWrongCount_Fails(t *testing.T) {
	t.Parallel()
	c := newCache(newSource(nil), func(o *options) {
		o.Load = func(context.Context, []int) ([]cache.Entry[string], error) { return nil, nil }
	})
	if _, _, err := c.Get(t.Context(), 1); err == nil {
		t.Error("no error")
	}
}

// TestCache_LoaderPanics_WakesWaitingCallers: the panic reaches the caller that ran the load, the other callers get an error, and
// the key can be loaded again.
func TestCache_LoaderPanics_WakesWaitingCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, bad := newSource(map[int]string{1: "a"}), true
		c := newCache(s, func(o *options) {
			o.Load = func(ctx context.Context, keys []int) ([]cache.Entry[string], error) {
				if bad {
					bad = false
					<-time.After(time.Second)
					panic("bad row")
				}
				return s.load(ctx, keys)
			}
		})
		var all sync.WaitGroup
		all.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is lost")
				}
			}()
			_, _, _ = c.Get(t.Context(), 1)
		})
		synctest.Wait()
		if _, _, err := c.Get(t.Context(), 1); err == nil {
			t.Error("who waited has an answer that nobody gave")
		}
		all.Wait()
		expectValue(t, c, 1, "a")
	})
}

// TestCache_CallerCanceled_OthersGetTheirResult covers the caller that runs the load and a caller that waits.
func TestCache_CallerCanceled_OthersGetTheirResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "a"})
		s.takes = time.Second
		c := newCache(s, nil)
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, _, err := c.Get(gone, 1); err != nil {
				t.Error("who asked has the answer, even if he left:", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if _, _, err := c.Get(gone, 1); !errors.Is(err, context.Canceled) {
				t.Error("who waited and left:", err)
			}
		})
		all.Go(func() { expectValue(t, c, 1, "a") })
		synctest.Wait()
		leave()
		all.Wait()
		if s.calls() != 1 {
			t.Errorf("asked %d times", s.calls())
		}
	})
}

func TestCache_FirstLevel_IsBounded(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{})
	for i := range 1000 {
		s.rows[i] = "x"
	}
	c := newCache(s, func(o *options) { o.Entries = 100 })
	for i := range 1000 {
		expectValue(t, c, i, "x")
	}
	if stats := c.Stats(); stats.Size > 110 || stats.Evictions < 890 || stats.Misses != 1000 || stats.Hits != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestCache_SetMany_StoresUnlessInvalidated(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(nodes []*node)
		want      int // loads
	}{
		"keeps what was read after the mark": {func([]*node) {}, 0},
		"unless its key was made invalid":    {func(nodes []*node) { nodes[0].Invalidate(context.Background(), 1) }, 2},
		"or another, which may be the same":  {func(nodes []*node) { nodes[0].InvalidateTags(context.Background(), "t") }, 2},
		"or anything may have been":          {func(nodes []*node) { nodes[0].level.disconnect <- struct{}{}; advance(time.Second) }, 2},
		"or another node made something so":  {func(nodes []*node) { nodes[1].Invalidate(context.Background(), 1); advance(0) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(map[int]string{1: "old", 2: "old"})
			cluster(t, 2, s, nil, func(_ *memory, nodes []*node) {
				c := nodes[0]
				mark := c.Mark(t.Context())
				entries := []cache.Entry[string]{{Value: s.rows[1], Found: true, Tags: []string{"t"}}, {Value: s.rows[2], Found: true}}
				test.meanwhile(nodes)
				c.SetMany(t.Context(), mark, []int{1, 2}, entries)
				expectValue(t, c, 1, "old")
				expectValue(t, c, 2, "old")
				if s.calls() != test.want {
					t.Errorf("%d loads here, want %d", s.calls(), test.want)
				}
			})
		})
	}
}
