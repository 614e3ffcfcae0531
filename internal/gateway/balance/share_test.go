package balance

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// TestPick_BothInSlowStartOrFull_CountEqual checks two nodes that have both just come up or are both full.
func TestPick_BothInSlowStartOrFull_CountEqual(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]float64{"new": 0, "full": 1} {
		l := newLab(t, Rules{}, "a", "b")
		l.random = rand.New(rand.NewPCG(1, 0)).Int64N
		l.check("a", Check{Status: &membership.Node{ID: "a", Load: load}})
		l.check("b", Check{Status: &membership.Node{ID: "b", Load: load}})
		if load > 0 {
			l.now = l.now.Add(time.Hour)
			for range 20 {
				l.check("a", Check{Status: &membership.Node{ID: "a", Load: load}})
				l.check("b", Check{Status: &membership.Node{ID: "b", Load: load}})
			}
		}
		for range 10 {
			l.TakeSlot(l.now, l.node("a"), Call)
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

// TestPick_SlowNodeWithLowLoad_GetsNoExtraCalls checks a slow node whose load is low because it gets few calls.
func TestPick_SlowNodeWithLowLoad_GetsNoExtraCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{LatencyDecay: time.Hour}, "busy", "slow")
	l.random = rand.New(rand.NewPCG(1, 0)).Int64N
	for range 20 {
		l.check("busy", Check{Status: &membership.Node{ID: "busy", Load: 1}})
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

// TestReport_SingleHighLoad_IsSmoothed also checks that the first report counts fully.
func TestReport_SingleHighLoad_IsSmoothed(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "was quiet", "is new")
	for range 3 {
		l.check("was quiet", Check{Status: &membership.Node{ID: "was quiet"}})
	}
	l.check("was quiet", Check{Status: &membership.Node{ID: "was quiet", Load: 1}})
	if spare := l.node("was quiet").headroomWeight(0); spare != 1 {
		t.Errorf("after one word of a full node it keeps %.2f of its calls", spare)
	}
	l.SetNodes(l.now, []membership.Node{{ID: "other", URL: "http://other", Load: 1, SeenAt: esh3ar.TimeOf(l.now)}})
	if spare := l.node("other").headroomWeight(0); spare > 0.21 {
		t.Errorf("a node whose first word is that it is full keeps %.2f of its calls", spare)
	}
}

// TestSetNodes_BareAddress_IsNoReport checks that a list of addresses sets neither name nor load.
func TestSetNodes_BareAddress_IsNoReport(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{})
	l.SetNodes(l.now, []membership.Node{{ID: "http://a", URL: "http://a"}})
	if l.ByName("http://a") != nil {
		t.Error("it is known by a name that it has not said")
	}
	n := l.Nodes()[0]
	l.ApplyCheck(l.now, n, Check{Status: &membership.Node{ID: "a", Load: 1}})
	if spare := n.headroomWeight(0); spare > 0.21 {
		t.Errorf("a node whose first word is that it is full keeps %.2f of its calls", spare)
	}
}

// TestSetNodes_Draining_AffectsUpNodesOnly checks that a down node stays down if the list says that it is draining.
func TestSetNodes_Draining_AffectsUpNodesOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a")
	l.check("a", Check{Err: "refused"})
	if changes := l.SetNodes(l.now, []membership.Node{{ID: "a", URL: "http://a", Draining: true, SeenAt: esh3ar.TimeOf(l.now)}}); len(changes) != 0 {
		t.Errorf("%+v", changes)
	}
	l.want("a", Down)
}

// TestPick_Phones_AvoidNewAndFullNodes checks that nodes in slow start and nearly full nodes get fewer phones.
func TestPick_Phones_AvoidNewAndFullNodes(t *testing.T) {
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
			l.check("b", Check{Status: &c.b})
			l.check("a", Check{Status: &c.a})
		}
		if n, _ := l.Pick(l.now, Phone, nil); n.ID != c.want {
			t.Errorf("%s: to %s", name, n.ID)
		}
	}
}

// TestPick_PhonesInReport_AreCountedOnce checks that phones are not counted again after a report includes them.
func TestPick_PhonesInReport_AreCountedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	for range 3 {
		l.TakeSlot(l.now, l.node("b"), Phone)
	}
	l.check("a", Check{Status: &membership.Node{ID: "a", Connections: 4}})
	l.check("b", Check{Status: &membership.Node{ID: "b", Connections: 3}})
	if n, _ := l.Pick(l.now, Phone, nil); n.ID != "b" {
		t.Errorf("to %s, which has one more", n.ID)
	}
}

// TestPick_Tunnels_AreSpread checks tunnels between two reports, and that they free their slots.
func TestPick_Tunnels_AreSpread(t *testing.T) {
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
	l.TakeSlot(l.now, a, Tunnel)
	if l.TakeSlot(l.now, a, Tunnel) {
		t.Error("a third tunnel, of two")
	}
	l.End(l.now, a, Tunnel, Unmeasured, 0)
	if !l.TakeSlot(l.now, a, Tunnel) || a.calls != 0 {
		t.Errorf("no slot after a tunnel has ended; %d calls", a.calls)
	}
	l.End(l.now, a, Tunnel, Unmeasured, 0)
}

// TestPick_EqualNodes_IsRandom checks that not all gateways start with the same node.
func TestPick_EqualNodes_IsRandom(t *testing.T) {
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
