package cache_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/cache"
)

// TestSecondLevel_LoadOnOneNode_ServesAll covers "not found" as well, with one lookup per batch.
func TestSecondLevel_LoadOnOneNode_ServesAll(t *testing.T) {
	t.Parallel()
	s := colours()
	cluster(t, 2, s, func(o *options) { o.MissTTL = time.Second }, func(_ *memory, nodes []*node) {
		for _, n := range nodes {
			entries, err := n.GetMany(t.Context(), []int{7, 12, 99})
			if err != nil || entries[0].Value != "old" || entries[1].Value != "old" || entries[2].Found || !slices.Equal(entries[1].Tags, s.tags[12]) {
				t.Errorf("%v, %v", entries, err)
			}
		}
		if s.calls() != 1 {
			t.Errorf("loaded %d times", s.calls())
		}
		one, other := nodes[0].Stats(), nodes[1].Stats()
		if one.SecondMisses != 3 || one.SecondHits != 0 || other.SecondHits != 3 || other.SecondMisses != 0 || other.Loads != 0 {
			t.Errorf("%+v\n%+v", one, other)
		}
	})
}

func TestSecondLevel_SetMany_ServesAll(t *testing.T) {
	t.Parallel()
	s := colours()
	cluster(t, 2, s, nil, func(_ *memory, nodes []*node) {
		mark := nodes[0].Mark(t.Context())
		nodes[0].SetMany(t.Context(), mark, []int{12}, []cache.Entry[string]{{Value: "old", Found: true, Tags: s.tags[12]}})
		expectValue(t, nodes[1], 12, "old")
		if s.calls() != 0 {
			t.Errorf("loaded %d times", s.calls())
		}
		s.set(12, "new")
		nodes[1].InvalidateTags(t.Context(), "red")
		synctest.Wait()
		expectValue(t, nodes[0], 12, "new")
	})
}

// TestSecondLevel_TTL_CountsFromTheLoad: a value from the second level is not younger in the first.
func TestSecondLevel_TTL_CountsFromTheLoad(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "old"})
	cluster(t, 2, s, func(o *options) { o.Second = second(12 * time.Second) }, func(_ *memory, nodes []*node) {
		expectValue(t, nodes[0], 1, "old")
		s.set(1, "changed by hand")
		advance(11 * time.Second)
		expectValue(t, nodes[1], 1, "old")
		advance(999 * time.Millisecond)
		expectValue(t, nodes[1], 1, "old")
		advance(time.Millisecond)
		expectValue(t, nodes[1], 1, "changed by hand")
	})
}

func TestSecondLevel_StoppedClock_ServesNothingExpired(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "old"})
	cluster(t, 2, s, nil, func(r *memory, nodes []*node) {
		expectValue(t, nodes[0], 1, "old")
		s.set(1, "changed by hand")
		r.Lock()
		for key, h := range r.values {
			h.ends = h.ends.Add(time.Hour)
			r.values[key] = h
		}
		r.Unlock()
		advance(time.Minute)
		expectValue(t, nodes[1], 1, "changed by hand")
	})
}

// TestSecondLevel_InvalidValue_LoadedAgain covers malformed values, other formats, and values that the codec rejects.
func TestSecondLevel_InvalidValue_LoadedAgain(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"nothing":        func([]byte) []byte { return []byte{} },
		"cut":            func(v []byte) []byte { return v[:12] },
		"another format": func(v []byte) []byte { return append([]byte{99}, v[1:]...) },
		"another value":  func(v []byte) []byte { return append(v, '?') },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(map[int]string{1: "good"})
			cluster(t, 2, s, func(o *options) {
				o.Second.Decode = func(text []byte) (string, error) {
					if string(text) != "good" {
						return "", errors.New("not good")
					}
					return "good", nil
				}
			}, func(r *memory, nodes []*node) {
				expectValue(t, nodes[0], 1, "good")
				r.Lock()
				r.values["rows:v:1"] = storedValue{harm(r.values["rows:v:1"].value), time.Now().Add(time.Hour)}
				r.Unlock()
				expectValue(t, nodes[1], 1, "good")
				if s.calls() != 2 {
					t.Errorf("loaded %d times", s.calls())
				}
			})
		})
	}
}

// TestSubscription_Lost_EntriesLastASecond: the loss drops the first level, entries live for a second during it, and its end drops
// them again.
func TestSubscription_Lost_EntriesLastASecond(t *testing.T) {
	t.Parallel()
	for name, break1 := range map[string]func(l *level){
		"broken":     func(l *level) { l.set(func() { l.mu.away = true }); l.disconnect <- struct{}{}; synctest.Wait() },
		"died still": func(l *level) { l.set(func() { l.mu.silent = true }); advance(3 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSource(map[int]string{1: "one", 2: "old"})
			cluster(t, 2, s, func(o *options) { o.Second = nil; o.TTL = time.Hour }, func(_ *memory, nodes []*node) {
				cut, other := nodes[0], nodes[1]
				expectValue(t, cut, 1, "one")
				break1(cut.level)
				if cut.shared.Subscribed() || cut.Stats().Size != 0 {
					t.Fatalf("linked: %t, with %d entries", cut.shared.Subscribed(), cut.Stats().Size)
				}
				expectValue(t, cut, 2, "old")
				s.set(2, "new")
				other.Invalidate(t.Context(), 2)
				advance(999 * time.Millisecond)
				expectValue(t, cut, 2, "old") // the bound is a second
				advance(time.Millisecond)
				expectValue(t, cut, 2, "new")

				expectValue(t, cut, 1, "one")
				s.set(1, "two")
				other.Invalidate(t.Context(), 1)
				cut.level.set(func() { cut.level.mu.away, cut.level.mu.silent = false, false })
				for !cut.shared.Subscribed() {
					advance(time.Millisecond)
				}
				expectValue(t, cut, 1, "two")
				loads := s.calls()
				advance(time.Minute)
				expectValue(t, cut, 1, "two")
				if s.calls() != loads {
					t.Error("linked, and an entry does not stand")
				}
			})
		})
	}
}

func TestSubscription_NotYetUp_EntriesLastASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "old"})
		n := newNode(newMemory(), s, func(o *options) { o.Second = nil })
		expectValue(t, n, 1, "old")
		s.set(1, "new")
		advance(time.Second)
		expectValue(t, n, 1, "new")
	})
}

// TestSubscription_Silence_OneNodePublishes: a text of any node ends the silence for all.
func TestSubscription_Silence_OneNodePublishes(t *testing.T) {
	t.Parallel()
	cluster(t, 20, newSource(nil), nil, func(_ *memory, nodes []*node) {
		calls := func() (n int) {
			for _, node := range nodes {
				n += node.level.calls()
			}
			return n
		}
		before := calls()
		advance(10 * time.Second)
		if n := calls() - before; n > 2*20*3 {
			t.Errorf("%d texts in ten quiet seconds", n)
		}
		for i, n := range nodes {
			if s := n.shared.Stats(); !s.Subscribed || s.Lost != 0 {
				t.Errorf("node %d: %+v", i, s)
			}
		}
	})
}

func TestSubscription_UnknownText_DropsFirstLevel(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "old"})
	cluster(t, 1, s, func(o *options) { o.Second = nil }, func(_ *memory, nodes []*node) {
		for text, loads := range map[string]int{`{"cache":"other","globs":["*"]}`: 0, `{"cache":"rows","keys":["x","2"]}`: 0, `v2!`: 1} {
			expectValue(t, nodes[0], 1, "old")
			before := s.calls()
			nodes[0].level.receive(text)
			synctest.Wait()
			expectValue(t, nodes[0], 1, "old")
			if n := s.calls() - before; n != loads {
				t.Errorf("after %s: %d loads, want %d", text, n, loads)
			}
		}
	})
}

// TestSecondLevel_Unavailable_CacheStillWorks: each call of an unresponsive level ends after 50 ms, and after five of them the
// breaker is open.
func TestSecondLevel_Unavailable_CacheStillWorks(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(l *level){
		"away":   func(l *level) { l.mu.away = true },
		"silent": func(l *level) { l.mu.silent = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, r := colours(), newMemory()
				l := r.node()
				guard := breaker.New("the shared cache", breaker.Options{})
				shared := cache.NewShared(l, cache.SharedOptions{Breaker: guard})
				c := newCache(s, func(o *options) {
					o.Shared = shared
					o.Second = second(time.Minute)
					o.Entries = 1
				})
				l.set(func() { harm(l) })
				for i := range 20 {
					begun := time.Now()
					expectValue(t, c, []int{12, 7}[i%2], "old")
					advance(1001 * time.Millisecond / 20) // the breaker is still open
					if took := time.Since(begun); i > 5 && took > 52*time.Millisecond || took > 110*time.Millisecond {
						t.Errorf("question %d took %s", i, took)
					}
				}
				if state := guard.Status().State; state != "open" || shared.Stats().Errors < 5 {
					t.Errorf("the breaker is %s: %+v", state, shared.Stats())
				}
				l.set(func() { l.mu.away, l.mu.silent = false, false })
				advance(time.Second)
				c.Invalidate(t.Context(), 7, 12)
				expectValue(t, c, 7, "old")
				if len(r.keys()) == 0 {
					t.Error("the level is back, and nothing goes there")
				}
			})
		})
	}
}

// TestInvalidate_LevelUnavailable_StaysPending: it is propagated as soon as possible, and until then this node bypasses the second
// level.
func TestInvalidate_LevelUnavailable_StaysPending(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := colours()
			cluster(t, 2, s, func(o *options) { o.TTL = 30 * time.Second }, func(r *memory, nodes []*node) {
				cut, other := nodes[0], nodes[1]
				expectValue(t, cut, 12, "old")
				expectValue(t, other, 12, "old")
				cut.level.set(func() { cut.level.mu.away = true })
				s.set(12, "new")
				for range 3 {
					invalidate(t.Context(), cut)
				}
				if n := cut.shared.Stats().Pending; n != 3 {
					t.Errorf("%d owed", n)
				}
				cut.level.set(func() { cut.level.mu.away = false })
				expectValue(t, cut, 12, "new") // the level still has "old"
				advance(time.Second)
				if n := cut.shared.Stats().Pending; n != 0 {
					t.Errorf("%d owed a second later", n)
				}
				expectValue(t, other, 12, "new")
				expectValue(t, newNode(r, s, nil), 12, "new")
			})
		})
	}
}

// TestInvalidate_TooManyNames_InvalidatesAll: pending invalidations are bounded.
func TestInvalidate_TooManyNames_InvalidatesAll(t *testing.T) {
	t.Parallel()
	s := colours()
	cluster(t, 2, s, nil, func(_ *memory, nodes []*node) {
		cut, other := nodes[0], nodes[1]
		expectValue(t, other, 12, "old")
		cut.level.set(func() { cut.level.mu.away = true })
		s.set(12, "new")
		for i := range 3 {
			keys := make([]int, 600)
			for j := range keys {
				keys[j] = 1000*(i+1) + j
			}
			cut.Invalidate(t.Context(), keys...)
		}
		cut.level.set(func() { cut.level.mu.away = false })
		advance(time.Second)
		if n := cut.shared.Stats().Pending; n != 0 {
			t.Errorf("%d owed", n)
		}
		expectValue(t, other, 12, "new")
	})
}

// TestSecondLevel_GenerationTTL_ExceedsValueTTL: when a generation expires, no value of the previous one is left.
func TestSecondLevel_GenerationTTL_ExceedsValueTTL(t *testing.T) {
	t.Parallel()
	s := colours()
	cluster(t, 2, s, nil, func(r *memory, nodes []*node) {
		expectValue(t, nodes[0], 12, "old")
		nodes[0].InvalidateTags(t.Context(), "red")
		r.Lock()
		value, generation := r.values["rows:v:12"].ends, r.values["rows:t:red"].ends
		r.Unlock()
		if !generation.After(value.Add(time.Minute)) {
			t.Errorf("the value ends at %s, its new generation at %s", value, generation)
		}
	})
}

func TestSecondLevel_Keys_NeverCollide(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "a"})
	s.tags[1] = []string{"1", "clock", "all", ":v:1"}
	cluster(t, 1, s, nil, func(r *memory, nodes []*node) {
		expectValue(t, nodes[0], 1, "a")
		nodes[0].InvalidateTags(t.Context(), s.tags[1]...)
		nodes[0].InvalidateMatching(t.Context(), "*")
		nodes[0].Invalidate(t.Context(), 1)
		want := []string{"rows:all", "rows:clock", "rows:k:1", "rows:t:1", "rows:t::v:1", "rows:t:all", "rows:t:clock"}
		if got := r.keys(); !slices.Equal(got, want) {
			t.Errorf("keys %v, want %v", got, want)
		}
	})
}

func TestNew_InvalidOptions_Panics(t *testing.T) {
	t.Parallel()
	shared := cache.NewShared(newMemory().node(), cache.SharedOptions{})
	newCache(newSource(nil), func(o *options) { o.Shared = shared })
	for want, change := range map[string]func(*options){
		"must be given":  func(o *options) { o.Load = nil },
		"needs Shared":   func(o *options) { o.Second = second(time.Minute) },
		"another's too":  func(o *options) { o.Shared = shared },
		"has a colon":    func(o *options) { o.Shared, o.Name = shared, "a:b" },
		"TTL must be gi": func(o *options) { o.TTL = 0 },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("said %q, want %q", text, want)
				}
			}()
			newCache(newSource(nil), change)
		}()
	}
}

// TestShared_Run_EndsWithItsContext: after Run the subscription counts as lost.
func TestShared_Run_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var links []bool
		shared := cache.NewShared(newMemory().node(), cache.SharedOptions{OnSubscribed: func(up bool) { links = append(links, up) }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- shared.Run(ctx) }()
		advance(time.Second)
		stop()
		if err := <-done; err != nil || shared.Subscribed() || !slices.Equal(links, []bool{true, false}) {
			t.Errorf("%v, linked %t, %v", err, shared.Subscribed(), links)
		}
	})
}

// failing is a level whose subscriptions fail.
type failing struct{ *level }

func (failing) Subscribe(context.Context, func(string), func()) error { return errAway }

func TestShared_SubscribeFails_SubscribesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errs := map[string]int{}
		shared := cache.NewShared(failing{newMemory().node()}, cache.SharedOptions{OnError: func(operation string, _ error) { errs[operation]++ }})
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if err := shared.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := errs["subscribe to the other caches"]; n < 9 || n > 11 {
			t.Errorf("%v in ten seconds", errs)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	s := newSource(map[int]string{})
	for i := range 1 << 10 {
		s.rows[i] = strconv.Itoa(i)
	}
	c := newCache(s, func(o *options) {
		o.Entries = 1 << 12
		o.TTL = time.Hour
	})
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, found, _ := c.Get(b.Context(), i&(1<<10-1)); !found {
				b.Fatal("not found")
			}
		}
	})
	b.Run("hit, all cores", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for i := 0; p.Next(); i++ {
				_, _, _ = c.Get(context.Background(), i&(1<<10-1))
			}
		})
	})
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, _ = c.Get(b.Context(), -1)
			s.asked = nil
		}
	})
}

// BenchmarkInvalidateTags measures the walk over a full first level.
func BenchmarkInvalidateTags(b *testing.B) {
	s, keys := newSource(map[int]string{}), make([]int, 100_000)
	for i := range keys {
		keys[i] = i
		s.rows[i] = "x"
		s.tags[i] = []string{"some", "tag" + strconv.Itoa(i%100)}
	}
	c := newCache(s, func(o *options) { o.Entries, o.TTL = len(keys), time.Hour })
	if _, err := c.GetMany(b.Context(), keys); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.InvalidateTags(b.Context(), "none")
	}
}
