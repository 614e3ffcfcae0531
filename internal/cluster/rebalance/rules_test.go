package rebalance_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/rebalance"
	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func node(id membership.NodeID, connections int, load float64) membership.Node {
	return membership.Node{ID: id, URL: "http://" + string(id), Connections: connections, Load: load, Parts: flow.Load{Connections: load}}
}

func draining(n membership.Node) membership.Node {
	n.Draining = true
	return n
}

// busy returns a node whose load does not come from its connections.
func busy(n membership.Node) membership.Node {
	n.Parts.Connections = 0
	return n
}

func TestRules_Step_Table(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		self   membership.Node
		others []membership.Node
		leave  int
		rate   int
	}{
		{"all is well", node("a", 800, 0.8), []membership.Node{node("b", 10, 0.1)}, 0, 0},
		{"at its limit", node("a", 900, 0.9), []membership.Node{node("b", 0, 0)}, 0, 0},
		{"over its connections", node("a", 1000, 1), []membership.Node{node("b", 0, 0)}, 200, 500},
		{"to one that has half its room", node("a", 1000, 1), []membership.Node{node("b", 0, 0.35)}, 200, 250},
		{"to several", node("a", 1000, 1), []membership.Node{node("b", 0, 0), node("c", 0, 0)}, 200, 1000},
		{"beside another that is over", node("a", 1000, 1), []membership.Node{node("b", 0, 0), node("c", 1000, 1)}, 200, 250},
		{"beside one that drains", node("a", 1000, 1), []membership.Node{node("b", 0, 0), draining(node("c", 1000, 0.1))}, 200, 250},
		{"beside one that has drained", node("a", 1000, 1), []membership.Node{node("b", 0, 0), draining(node("c", 0, 0.1))}, 200, 500},
		{"no more than the others take until the next round", node("a", 100_000, 1), []membership.Node{node("b", 0, 0)}, 2500, 500},
		{"busy, not full", busy(node("a", 1000, 0.95)), []membership.Node{node("b", 0, 0)}, 50, 500},
		{"busy with fewer phones than the others", busy(node("a", 100, 0.95)), []membership.Node{node("b", 400, 0.2)}, 0, 0},
		{"nobody has room", node("a", 1000, 1), []membership.Node{node("b", 700, 0.7)}, 0, 0},
		{"the others drain", node("a", 1000, 1), []membership.Node{draining(node("b", 0, 0))}, 0, 0},
		{"it is alone", node("a", 1000, 1), nil, 0, 0},
		{"it drains", draining(node("a", 1000, 0.1)), []membership.Node{node("b", 0, 0)}, 1000, 500},
		{"it drains and nobody has room", draining(node("a", 1000, 0.1)), nil, 1000, 50},
		{"it drains and is empty", draining(node("a", 0, 0.1)), nil, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rebalance.Rules{}.Step(c.self, append(c.others, c.self))
			if r.Leave != c.leave || r.Leave > 0 && r.Rate != c.rate {
				t.Errorf("%+v, want %d to leave, %d in a second", r, c.leave, c.rate)
			}
		})
	}
}

func TestRules_Elsewhere_Table(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		self   membership.Node
		others []membership.Node
		want   membership.NodeID
		sent   bool
	}{
		{"one that was sent here stays", node("a", 1, 0.95), []membership.Node{node("b", 0, 0.1)}, "", true},
		{"a node that drains sends it on", draining(node("a", 1, 0.1)), []membership.Node{node("b", 0, 0.9)}, "b", true},
		{"here", node("a", 1, 0.9), []membership.Node{node("b", 0, 0)}, "", false},
		{"to the one with most room", node("a", 1, 0.95), []membership.Node{node("b", 0, 0.3), node("c", 0, 0.1), node("d", 0, 0.2)}, "c", false},
		{"nobody has room", node("a", 1, 0.95), []membership.Node{node("b", 0, 0.7)}, "", false},
		{"not to one that drains", node("a", 1, 0.95), []membership.Node{draining(node("b", 0, 0))}, "", false},
		{"not to itself, though the list has not heard yet that it drains", draining(node("a", 1, 0.1)), []membership.Node{node("a", 1, 0.1), node("b", 0, 0.9)}, "b", false},
		{"a node that drains sends them anywhere", draining(node("a", 1, 0.1)), []membership.Node{node("b", 0, 0.9)}, "b", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := rebalance.Rules{}.RedirectTarget(c.self, append(c.others, c.self), c.sent)
			if got == nil && c.want != "" || got != nil && got.ID != c.want {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
}

// TestRules_ConcurrentNodes_Converge lets several nodes follow the rules concurrently, from every unequal distribution. They come
// to rest, no node stays above the high-water mark if there is room for all, and no phone moves more often than there are nodes.
func TestRules_ConcurrentNodes_Converge(t *testing.T) {
	t.Parallel()
	const capacity, nodes, phones = 1000, 4, 2400
	for start := range 5 {
		all := make([]membership.Node, nodes)
		for i := range all {
			all[i] = node(membership.NodeID(rune('a'+i)), 0, 0)
		}
		for p := range phones { // the first node has most phones, more so with a higher start
			all[p%(1+(p+start)%nodes)].Connections++
		}
		moved, quiet := 0, 0
		for round := 0; quiet < 3; round++ {
			if round == 200 {
				t.Fatalf("start %d: no rest: %+v", start, all)
			}
			left := step(all, capacity)
			moved += left
			if left == 0 {
				quiet++
			} else {
				quiet = 0
			}
		}
		for _, n := range all {
			if n.Load > 0.9 {
				t.Errorf("start %d: %s is still at %g", start, n.ID, n.Load)
			}
		}
		if moved > phones*nodes/2 {
			t.Errorf("start %d: %d moves of %d phones", start, moved, phones)
		}
	}
}

// step runs one round on all nodes concurrently; phones that leave go to the emptiest node.
func step(all []membership.Node, capacity int) (left int) {
	for i := range all {
		all[i].Load = float64(all[i].Connections) / float64(capacity)
		all[i].Parts.Connections = all[i].Load
	}
	leaving := make([]int, len(all))
	for i := range all {
		leaving[i] = rebalance.Rules{}.Step(all[i], all).Leave
	}
	for i, n := range leaving {
		all[i].Connections -= n
		left += n
		for range n {
			emptiest := 0
			for k := range all {
				if all[k].Connections < all[emptiest].Connections {
					emptiest = k
				}
			}
			all[emptiest].Connections++
		}
	}
	for i := range all {
		all[i].Load = float64(all[i].Connections) / float64(capacity)
	}
	return left
}

func TestMover_NoRoomElsewhere_MovesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		full := node("a", 1000, 1)
		m := rebalance.New(rebalance.Options{
			Self: func() membership.Node { return full }, Recent: func() []membership.Node { return []membership.Node{full} }, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Move: func(context.Context, int, int) (int, error) { t.Error("some leave"); return 0, nil },
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no other has room") || strings.Contains(text, "handed over") {
			t.Error(text)
		}
	})
}

// TestMover_DrainFinished_LogsThatNoPhoneIsLeft: operators wait for that line.
func TestMover_DrainFinished_LogsThatNoPhoneIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		self := node("a", 3, 0.1)
		self.Draining = true
		m := rebalance.New(rebalance.Options{
			Self: func() membership.Node { return self }, Nodes: func() []membership.Node { return []membership.Node{self} }, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Move: func(_ context.Context, n, _ int) (int, error) { self.Connections -= n; return n, nil },
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, `msg="no phone is left" "moved so far"=3`) {
			t.Error(text)
		}
	})
}

// TestMover_OutdatedStatus_OnlyDrainingNodesMove: with only outdated reports of other nodes, an overloaded node keeps its phones; a
// draining node must send them somewhere.
func TestMover_OutdatedStatus_OnlyDrainingNodesMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		self, left := node("a", 1000, 1), 0
		m := rebalance.New(rebalance.Options{
			Self: func() membership.Node { return self }, Nodes: func() []membership.Node { return []membership.Node{node("b", 0, 0)} },
			Recent: func() []membership.Node { return nil },
			Move:   func(_ context.Context, n, _ int) (int, error) { left += n; return n, nil },
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if to := m.RedirectTarget(false); left > 0 || to != "" {
			t.Errorf("over its load, by an old word: %d left, a new one goes to %q", left, to)
		}
		m.Drain(t.Context(), time.Minute)
		self.Draining = true
		if left != 1000 || m.RedirectTarget(false) != "http://b" {
			t.Errorf("draining, by an old word: %d left, a new one goes to %q", left, m.RedirectTarget(false))
		}
	})
}

// TestMover_Drain_EndsInTime: it exceeds the rate of the other nodes if necessary, and counts the phones that moved.
func TestMover_Drain_EndsInTime(t *testing.T) {
	t.Parallel()
	for within, want := range map[time.Duration]int{time.Second: 30_000, 10 * time.Second: 3000, 10 * time.Minute: 500} {
		self, rate := node("a", 30_000, 0.5), 0
		m := rebalance.New(rebalance.Options{
			Self: func() membership.Node { return self }, Nodes: func() []membership.Node { return []membership.Node{node("b", 0, 0)} },
			Move: func(_ context.Context, n, r int) (int, error) { rate = r; return n / 2, context.Canceled },
		})
		m.Drain(t.Context(), within)
		if rate != want || m.Moved() != 15_000 {
			t.Errorf("within %s: %d in a second, want %d; %d moved", within, rate, want, m.Moved())
		}
	}
}
