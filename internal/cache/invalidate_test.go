package cache_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// invalidations are the three kinds of invalidation; each matches key 12 and not key 7.
var invalidations = map[string]func(ctx context.Context, c *node){
	"key":     func(ctx context.Context, c *node) { c.Invalidate(ctx, 12) },
	"tag":     func(ctx context.Context, c *node) { c.InvalidateTags(ctx, "red") },
	"pattern": func(ctx context.Context, c *node) { c.InvalidateMatching(ctx, "1*") },
}

func colours() *source {
	s := newSource(map[int]string{12: "old", 7: "old"})
	s.tags[12], s.tags[7] = []string{"big", "red"}, []string{"blue"}
	return s
}

// TestInvalidate_AllNodes_BothLevels: an invalidation takes effect on all nodes and both levels, and leaves other entries alone.
func TestInvalidate_AllNodes_BothLevels(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := colours()
			cluster(t, 3, s, nil, func(r *memory, nodes []*node) {
				for _, n := range nodes {
					expectValue(t, n, 12, "old")
					expectValue(t, n, 7, "old")
				}
				if s.calls() != 2 {
					t.Errorf("three nodes loaded %d times: %v", s.calls(), s.asked)
				}
				s.set(12, "new")
				s.set(7, "unheard of")
				invalidate(t.Context(), nodes[0])
				synctest.Wait()
				for _, n := range nodes {
					expectValue(t, n, 12, "new")
					expectValue(t, n, 7, "old")
				}
				if s.calls() != 3 {
					t.Errorf("then %d times: %v", s.calls(), s.asked)
				}
				expectValue(t, newNode(r, s, nil), 12, "new")
			})
		})
	}
}

func TestInvalidate_WithoutShared_Works(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidations {
		s := colours()
		c := &node{Cache: newCache(s, nil)}
		expectValue(t, c, 12, "old")
		expectValue(t, c, 7, "old")
		s.set(12, "new")
		s.set(7, "unheard of")
		invalidate(t.Context(), c)
		if t.Run(name, func(t *testing.T) {
			expectValue(t, c, 12, "new")
			expectValue(t, c, 7, "old")
		}); c.Stats().Invalidations != 1 {
			t.Errorf("%+v", c.Stats())
		}
	}
}

// TestInvalidate_DuringLoad_DiscardsTheLoad: a load that began before the invalidation is not cached, and later callers do not join
// it.
func TestInvalidate_DuringLoad_DiscardsTheLoad(t *testing.T) {
	t.Parallel()
	all := map[string]func(ctx context.Context, c *node){"loss": func(_ context.Context, c *node) { c.level.disconnect <- struct{}{}; synctest.Wait() }}
	for name, invalidate := range invalidations {
		all[name] = invalidate
		all[name+" from elsewhere"] = func(ctx context.Context, c *node) {
			elsewhere := newNode(c.level.memory, newSource(nil), nil)
			invalidate(ctx, elsewhere)
			synctest.Wait()
		}
	}
	for name, invalidate := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := colours()
			cluster(t, 1, s, nil, func(r *memory, nodes []*node) {
				c := nodes[0]
				s.change(func() { s.takes = 10 * time.Millisecond })
				var early sync.WaitGroup
				early.Go(func() { expectValue(t, c, 12, "old") })
				advance(5 * time.Millisecond)
				s.set(12, "new")
				invalidate(t.Context(), c)
				expectValue(t, c, 12, "new") // while the load is in progress
				early.Wait()
				expectValue(t, c, 12, "new") // and after it has completed
				expectValue(t, newNode(r, s, nil), 12, "new")
			})
		})
	}
}

// task is one of several functions whose steps are interleaved. A step is a call of step with the task's context.
type task struct {
	turn chan struct{}
	at   chan struct{} // the task waits for its turn, or has ended
	over bool
}

type taskKey struct{}

// step waits for the turn of the task that owns ctx; other contexts pass.
func step(ctx context.Context) {
	if p, plays := ctx.Value(taskKey{}).(*task); plays {
		p.at <- struct{}{}
		<-p.turn
	}
}

// interleave runs functions in the order of a schedule. Tasks that have ended are skipped. After the schedule the remaining tasks
// run in turn.
func interleave(schedule []int, functions ...func(ctx context.Context)) {
	players := make([]*task, len(functions))
	for i, f := range functions {
		p := &task{turn: make(chan struct{}), at: make(chan struct{})}
		players[i] = p
		go func() {
			ctx := context.WithValue(context.Background(), taskKey{}, p)
			step(ctx)
			f(ctx)
			p.over = true
			p.at <- struct{}{}
		}()
		<-p.at
	}
	for _, who := range append(schedule, slices.Repeat([]int{0, 1}, 50)...) {
		if p := players[who]; !p.over {
			p.turn <- struct{}{}
			<-p.at
		}
	}
}

// schedules returns all sequences of a zeros and b ones.
func schedules(a, b int) (all [][]int) {
	if a == 0 && b == 0 {
		return [][]int{nil}
	}
	if a > 0 {
		for _, rest := range schedules(a-1, b) {
			all = append(all, append([]int{0}, rest...))
		}
	}
	if b > 0 {
		for _, rest := range schedules(a, b-1) {
			all = append(all, append([]int{1}, rest...))
		}
	}
	return all
}

// TestInvalidate_EveryInterleaving_NoOldValue interleaves a load and a change of the row with its invalidation in every order of
// their steps, which are the calls of the source and of the level. In every order, once both are done no node has the old value,
// including a node that starts later and reads the second level. Copies in a node's client-side cache may make GetMany return old
// values.
func TestInvalidate_EveryInterleaving_NoOldValue(t *testing.T) {
	t.Parallel()
	every, sample := schedules(6, 7), 5
	if testing.Short() {
		sample = 23
	}
	for name, invalidate := range invalidations {
		for _, copies := range []string{"", ":v:", ":clock", ":"} {
			for bits := range 4 {
				known, here := bits&1 != 0, bits&2 != 0
				t.Run(fmt.Sprintf("%s, copies of %q, known before: %t, on one node: %t", name, copies, known, here), func(t *testing.T) {
					t.Parallel()
					for i, schedule := range every {
						if i%sample != bits { // running all of them takes half a minute
							continue
						}
						play(t, invalidate, schedule, copies, known, here)
						if t.Failed() {
							t.Fatalf("in the order %v", schedule)
						}
					}
				})
			}
		}
	}
}

func play(t *testing.T, invalidate func(context.Context, *node), schedule []int, copies string, known, here bool) {
	t.Helper()
	s := colours()
	cluster(t, 2, s, nil, func(r *memory, nodes []*node) {
		loads, changes := nodes[0], nodes[1]
		if here {
			loads = changes
		}
		if known {
			expectValue(t, newNode(r, s, nil), 12, "old")
		}
		if copies != "" {
			loads.level.keepCopies(copies, []string{"rows:v:12", "rows:k:12", "rows:t:red", "rows:t:big", "rows:all", "rows:clock"})
		}
		interleave(schedule,
			func(ctx context.Context) { _, _, _ = loads.Get(ctx, 12) },
			func(ctx context.Context) {
				step(ctx)
				s.set(12, "new")
				invalidate(ctx, changes)
			})
		synctest.Wait()
		expectValue(t, loads, 12, "new")
		expectValue(t, changes, 12, "new")
		expectValue(t, newNode(r, s, nil), 12, "new")
	})
}
