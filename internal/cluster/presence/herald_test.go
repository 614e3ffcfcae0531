package presence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// board is a registry in memory, of one word per node.
type board struct {
	sync.Mutex
	away   bool
	writes error // of each announcement
	words  map[presence.NodeID]word
}

type word struct {
	presence.Node
	until time.Time
}

// place is a node's place on the board.
type place struct {
	*board
	self presence.NodeID
}

func (p place) do(change func()) error {
	p.Lock()
	defer p.Unlock()
	if p.away {
		return errors.New("away")
	}
	change()
	return nil
}

func (p place) Announce(_ context.Context, n presence.Node) (before presence.Node, err error) {
	var refused error
	err = p.do(func() {
		if refused = p.writes; refused == nil {
			before = p.words[p.self].Node
			p.words[p.self] = word{n, time.Now().Add(presence.NodeTTL)}
		}
	})
	return before, errors.Join(err, refused)
}

func (p place) Leave(context.Context) error { return p.do(func() { delete(p.words, p.self) }) }

func (p place) Nodes(context.Context) (nodes []presence.Node, err error) {
	err = p.do(func() {
		for _, id := range slices.Sorted(maps.Keys(p.words)) {
			if time.Now().Before(p.words[id].until) {
				nodes = append(nodes, p.words[id].Node)
			}
		}
	})
	return nodes, err
}

// heralded runs a node's herald; the function ends it as a stop does.
func heralded(t *testing.T, b *board, id presence.NodeID, draining func() bool) (h *presence.Herald, peers *[]string, leave func()) {
	t.Helper()
	peers = new([]string)
	h = presence.NewHerald(presence.HeraldOptions{
		Registry: place{b, id},
		Word:     func() presence.Node { return presence.Node{ID: id, Draining: draining()} },
		OnPeers:  func(joined, left []presence.NodeID) { *peers = append(*peers, fmt.Sprint("+", joined, "-", left)) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	leave = func() { cancel(); running.Wait() }
	t.Cleanup(leave)
	return h, peers, leave
}

// TestNodesComeAndGo: each node hears of every other's coming, leaving and dying, and of nothing twice; a registry that is
// away changes nothing.
func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &board{words: map[presence.NodeID]word{}}
		never := func() bool { return false }
		a, peers, leaveA := heralded(t, b, "a", never)
		time.Sleep(1500 * time.Millisecond)
		_, _, leaveB := heralded(t, b, "b", never)
		time.Sleep(2 * time.Second)
		leaveB()
		time.Sleep(2 * time.Second)
		_, _ = place{b, "c"}.Announce(t.Context(), presence.Node{ID: "c"}) // and never again: it died
		time.Sleep(time.Minute)
		b.Lock()
		b.away = true
		b.Unlock()
		time.Sleep(time.Minute)
		if list := a.Nodes(); len(list) != 1 || list[0].ID != "a" {
			t.Errorf("while the registry is away: %v", list)
		}
		if list := a.Recent(); len(list) != 0 {
			t.Errorf("how they were a minute ago: %v", list)
		}
		b.Lock()
		b.away, b.words = false, map[presence.NodeID]word{} // it forgot
		b.Unlock()
		time.Sleep(time.Minute)
		if list := a.Recent(); len(list) != 1 || list[0].ID != "a" {
			t.Errorf("how they are now: %v", list)
		}
		leaveA()
		want := []string{"+[a]-[]", "+[b]-[]", "+[]-[b]", "+[c]-[]", "+[]-[c]"}
		if !slices.Equal(*peers, want) {
			t.Errorf("%q, want %q", *peers, want)
		}
		if len(b.words) != 0 {
			t.Errorf("on the board: %v", b.words)
		}
	})
}

// TestHerald_Find_WaitsForTheNextList: a node that joined after the last list is found; an unknown one is not, and a registry that is
// away ends the wait.
func TestHerald_Find_WaitsForTheNextList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &board{words: map[presence.NodeID]word{}}
		never := func() bool { return false }
		a, _, _ := heralded(t, b, "a", never)
		time.Sleep(1500 * time.Millisecond)
		heralded(t, b, "b", never)
		synctest.Wait()
		if n, ok := a.Find(t.Context(), "b"); !ok || n.ID != "b" {
			t.Errorf("a node that has just joined: got %v, %t", n, ok)
		}
		if n, ok := a.Find(t.Context(), "c"); ok {
			t.Errorf("a node that does not exist: got %v", n)
		}
		b.Lock()
		b.away = true
		b.Unlock()
		began := time.Now()
		if n, ok := a.Find(t.Context(), "c"); ok || time.Since(began) > 2*presence.NodeEvery {
			t.Errorf("while the registry is away: got %v after %s, want none within %s", n, time.Since(began), 2*presence.NodeEvery)
		}
		if _, ok := a.Find(t.Context(), "b"); !ok {
			t.Error("while the registry is away, a node of the last list: not found")
		}
	})
}

// TestDrainingIsSaidAtOnce: whoever sends work by the list should not wait for the next heartbeat.
func TestDrainingIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &board{words: map[presence.NodeID]word{}}
		draining := false
		h, _, _ := heralded(t, b, "a", func() bool { return draining })
		synctest.Wait()
		draining = true
		began := time.Now()
		h.Say()
		synctest.Wait()
		if !b.words["a"].Draining || time.Since(began) > 0 {
			t.Errorf("after %s: %+v", time.Since(began), b.words["a"])
		}
	})
}

// TestTwins: two nodes with one id hear of each other, once; the word of a node that has died and come back is not another's, though
// it is there before the first of the new one can be said.
func TestTwins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &board{words: map[presence.NodeID]word{}}
		_, _ = place{b, "a"}.Announce(t.Context(), presence.Node{ID: "a", StartedAt: 1})
		var told []string
		speak := func(n presence.Node) (leave func()) {
			h := presence.NewHerald(presence.HeraldOptions{
				Registry: place{b, "a"}, Word: func() presence.Node { return n }, OnTwin: func(twin presence.Node) { told = append(told, n.URL+" hears "+twin.URL) },
			})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = h.Run(ctx) })
			return func() { cancel(); running.Wait() }
		}
		b.writes = errors.New("read only") // the first words are not heard
		leaveFirst := speak(presence.Node{ID: "a", URL: "first", StartedAt: 2})
		time.Sleep(1500 * time.Millisecond)
		b.Lock()
		b.writes = nil
		b.Unlock()
		time.Sleep(time.Minute)
		if len(told) > 0 {
			t.Fatalf("alone: %q", told)
		}
		leaveSecond := speak(presence.Node{ID: "a", URL: "second", StartedAt: 2})
		time.Sleep(time.Minute)
		leaveFirst()
		leaveSecond()
		slices.Sort(told)
		if want := []string{"first hears second", "second hears first"}; !slices.Equal(told, want) {
			t.Errorf("%q, want %q", told, want)
		}
	})
}
