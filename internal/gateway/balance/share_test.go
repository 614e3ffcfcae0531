package balance

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// TestWhatBothAreIsNoReason to give a call to the one that has more of them: two that have just come, or are both full.
func TestWhatBothAreIsNoReason(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]float64{"new": 0, "full": 1} {
		l := newLab(t, Rules{}, "a", "b")
		l.random = rand.New(rand.NewPCG(1, 0)).Int64N
		l.check("a", Check{Word: &membership.Node{ID: "a", Load: load}})
		l.check("b", Check{Word: &membership.Node{ID: "b", Load: load}})
		if load > 0 {
			l.now = l.now.Add(time.Hour)
			for range 20 {
				l.check("a", Check{Word: &membership.Node{ID: "a", Load: load}})
				l.check("b", Check{Word: &membership.Node{ID: "b", Load: load}})
			}
		}
		for range 10 {
			l.Take(l.now, l.node("a"), Call)
		}
		for range 1000 {
			n, _ := l.Pick(l.now, Call, nil)
			if n.ID != "b" {
				t.Fatalf("both are %s, and a call goes to the one that has ten", name)
			}
			l.End(l.now, n, Call, Answered, time.Millisecond)
		}
	}
}

// TestASlowNodeHasMuchToSpare because few calls go there, and gets none for it.
func TestASlowNodeHasMuchToSpare(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Fall: time.Hour}, "busy", "slow")
	l.random = rand.New(rand.NewPCG(1, 0)).Int64N
	for range 20 {
		l.check("busy", Check{Word: &membership.Node{ID: "busy", Load: 1}})
	}
	l.check("slow", Check{})
	l.now = l.now.Add(time.Hour)
	for n, took := range map[membership.NodeID]time.Duration{"busy": time.Millisecond, "slow": time.Second} {
		l.node(n).latency.Observe(l.now, took)
	}
	for range 1000 {
		n, _ := l.Pick(l.now, Call, nil)
		if n.ID != "busy" {
			t.Fatal("a call goes to a node that is a hundred times slower")
		}
		l.End(l.now, n, Call, Unmeasured, 0)
	}
}

// TestOneMomentMakesNoFullNode, but the first word counts as it is: there is no other.
func TestOneMomentMakesNoFullNode(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "was quiet", "is new")
	for range 3 {
		l.check("was quiet", Check{Word: &membership.Node{ID: "was quiet"}})
	}
	l.check("was quiet", Check{Word: &membership.Node{ID: "was quiet", Load: 1}})
	if spare := l.node("was quiet").spare(0); spare != 1 {
		t.Errorf("after one word of a full node it keeps %.2f of its calls", spare)
	}
	l.List(l.now, []membership.Node{{ID: "other", URL: "http://other", Load: 1, SeenAt: esh3ar.TimeOf(l.now)}})
	if spare := l.node("other").spare(0); spare > 0.21 {
		t.Errorf("a node whose first word is that it is full keeps %.2f of its calls", spare)
	}
}

// TestAnAddressIsNoWord: what a list knows of a node by its address only is neither its name nor its load.
func TestAnAddressIsNoWord(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{})
	l.List(l.now, []membership.Node{{ID: "http://a", URL: "http://a"}})
	if l.Named("http://a") != nil {
		t.Error("it is known by a name that it has not said")
	}
	n := l.Nodes()[0]
	l.Checked(l.now, n, Check{Word: &membership.Node{ID: "a", Load: 1}})
	if spare := n.spare(0); spare > 0.21 {
		t.Errorf("a node whose first word is that it is full keeps %.2f of its calls", spare)
	}
}

// TestTheListDrainsWhoIsUp: of one that does not answer it says nothing new.
func TestTheListDrainsWhoIsUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a")
	l.check("a", Check{Err: "refused"})
	if changes := l.List(l.now, []membership.Node{{ID: "a", URL: "http://a", Draining: true, SeenAt: esh3ar.TimeOf(l.now)}}); len(changes) != 0 {
		t.Errorf("%+v", changes)
	}
	l.want("a", Down)
}

// TestWherePhonesGo: fewer to who has just come, and to who is nearly full.
func TestWherePhonesGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b membership.Node
		came time.Duration // b, after a
		want membership.NodeID
	}{
		"to the fewer":                 {membership.Node{Connections: 51}, membership.Node{Connections: 50}, 0, "b"},
		"not all to who has just come": {membership.Node{Connections: 50}, membership.Node{Connections: 10}, time.Hour, "a"},
		"not to who is nearly full":    {membership.Node{Connections: 40, Load: 0.9}, membership.Node{Connections: 50}, 0, "b"},
	} {
		l := newLab(t, Rules{}, "a", "b")
		c.a.ID, c.b.ID = "a", "b"
		l.check("a", Check{})
		l.now = l.now.Add(c.came)
		for range 20 { // it is believed by and by
			l.check("b", Check{Word: &c.b})
			l.check("a", Check{Word: &c.a})
		}
		if n, _ := l.Pick(l.now, Phone, nil); n.ID != c.want {
			t.Errorf("%s: to %s", name, n.ID)
		}
	}
}

// TestPhonesThatWereCountedAgain are not counted twice.
func TestPhonesThatWereCountedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	for range 3 {
		l.Take(l.now, l.node("b"), Phone)
	}
	l.check("a", Check{Word: &membership.Node{ID: "a", Connections: 4}})
	l.check("b", Check{Word: &membership.Node{ID: "b", Connections: 3}})
	if n, _ := l.Pick(l.now, Phone, nil); n.ID != "b" {
		t.Errorf("to %s, which has one more", n.ID)
	}
}

// TestTunnelsAreSpread though a node counts them a second later only, and give their slots back.
func TestTunnelsAreSpread(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Slots: 4, Streams: 2}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	for range 2 {
		n, _ := l.Pick(l.now, Tunnel, nil)
		defer l.End(l.now, n, Tunnel, Unmeasured, 0)
	}
	a, b := l.node("a"), l.node("b")
	if a.streams != 1 || b.streams != 1 {
		t.Fatalf("%d and %d tunnels", a.streams, b.streams)
	}
	l.Take(l.now, a, Tunnel)
	if l.Take(l.now, a, Tunnel) {
		t.Error("a third tunnel, of two")
	}
	l.End(l.now, a, Tunnel, Unmeasured, 0)
	if !l.Take(l.now, a, Tunnel) || a.calls != 0 {
		t.Errorf("no slot after a tunnel has ended; %d calls", a.calls)
	}
	l.End(l.now, a, Tunnel, Unmeasured, 0)
}

// TestGatewaysDoNotAllBeginWithTheSame: among equals chance decides.
func TestGatewaysDoNotAllBeginWithTheSame(t *testing.T) {
	t.Parallel()
	for chance, want := range []membership.NodeID{"a", "b"} {
		l := newLab(t, Rules{}, "a", "b")
		l.random = func(int64) int64 { return int64(chance) }
		l.check("a", Check{})
		l.check("b", Check{})
		if n, _ := l.Pick(l.now, Phone, nil); n.ID != want {
			t.Errorf("%s, want %s", n.ID, want)
		}
	}
}
