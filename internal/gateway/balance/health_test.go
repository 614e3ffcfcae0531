package balance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// lab is a Balancer with a manual clock.
type lab struct {
	*Balancer
	t   *testing.T
	now time.Time
}

func newLab(t *testing.T, r Rules, ids ...membership.NodeID) *lab {
	t.Helper()
	l := &lab{New(r, func(int64) int64 { return 0 }), t, time.Unix(1_800_000_000, 0)}
	l.list(ids...)
	return l
}

func (l *lab) list(ids ...membership.NodeID) []Change {
	var list []membership.Node
	for _, id := range ids {
		list = append(list, membership.Node{ID: id, URL: "http://" + string(id), SeenAt: esh3ar.TimeOf(l.now)})
	}
	return l.SetNodes(l.now, list)
}

func (l *lab) node(id membership.NodeID) *Node {
	l.t.Helper()
	n := l.ByName(id)
	if n == nil {
		l.t.Fatalf("no node %s", id)
	}
	return n
}

func (l *lab) check(id membership.NodeID, c Check) { l.ApplyCheck(l.now, l.node(id), c) }

func (l *lab) want(id membership.NodeID, s State) {
	l.t.Helper()
	if got := l.node(id).state; got != s {
		l.t.Errorf("%s is %s, want %s", id, got, s)
	}
}

// call takes a slot at a node and ends the call with a verdict.
func (l *lab) call(id membership.NodeID, v Verdict) []Change {
	l.t.Helper()
	n := l.node(id)
	if !l.TakeSlot(l.now, n, Call) {
		l.t.Fatalf("%s is full", id)
	}
	return l.End(l.now, n, Call, v, time.Millisecond)
}

func TestBalancer_FailedChecks_MakeNodeDown(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a", "b")
	l.want("a", Unchecked)
	l.check("a", Check{})
	l.want("a", Up)
	l.check("a", Check{Err: "timeout"})
	l.want("a", Up) // one is no proof
	l.check("a", Check{})
	l.check("a", Check{Err: "timeout"})
	l.want("a", Up) // not in a row
	l.check("a", Check{Err: "timeout"})
	l.want("a", Down)
	l.check("a", Check{})
	l.want("a", Up)
	l.check("a", Check{NotReady: true})
	l.want("a", NotReady)
	l.check("a", Check{})
	l.want("a", Up)
	l.check("b", Check{Err: "refused"})
	l.want("b", Down) // it was never seen up
	l.call("a", Refused)
	l.want("a", Down)
	l.check("a", Check{})
	for range 5 { // checks get lost on a machine that is full, and calls are answered meanwhile
		began := l.now
		l.now = l.now.Add(time.Second)
		l.call("a", Answered)
		l.check("a", Check{Began: began, Err: "timeout"})
	}
	l.want("a", Up)
}

// TestBalancer_BrokenCalls_EjectNode checks the ejection after five broken calls, the doubling pause, the probation and its end.
func TestBalancer_BrokenCalls_EjectNode(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Pause: flow.Backoff{Base: 2 * time.Second, Cap: time.Minute}}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	for range 4 {
		l.call("a", Broken)
	}
	l.call("a", Answered)
	for range 4 {
		l.call("a", Broken)
	}
	l.want("a", Up)
	if changes := l.call("a", Broken); len(changes) != 1 || changes[0].State != Ejected || changes[0].Why == "" {
		t.Errorf("%+v", changes)
	}
	l.check("a", Check{})
	l.want("a", Ejected) // it looks well, as before
	l.now = l.now.Add(time.Second)
	l.check("a", Check{})
	l.want("a", Up)
	l.call("a", Broken)
	l.want("a", Ejected) // on trial, one is enough
	l.now = l.now.Add(time.Second)
	l.check("a", Check{})
	l.want("a", Ejected) // the pause has doubled
	l.now = l.now.Add(time.Second)
	l.check("a", Check{})
	for range 5 {
		l.call("a", Answered)
	}
	l.call("a", Broken)
	l.want("a", Up) // trusted again
	l.call("b", Broken)
	for range 4 {
		l.call("a", Broken)
		l.call("b", Broken)
	}
	l.want("a", Ejected)
	l.want("b", Up) // at most half
}

// TestBalancer_Candidates_PreferUp checks the order: nodes that are up, then nodes that are not NotReady, then all.
func TestBalancer_Candidates_PreferUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Slots: 1}, "a", "b", "c")
	l.check("a", Check{})
	l.check("b", Check{NotReady: true})
	l.check("c", Check{Err: "refused"})
	var tried []*Node
	for _, want := range []membership.NodeID{"a", "c", "b"} {
		n, outcome := l.Pick(l.now, Call, tried)
		if outcome != Chosen || n.ID != want {
			t.Fatalf("%v %d, want %s", n, outcome, want)
		}
		tried = append(tried, n)
	}
	if n, outcome := l.Pick(l.now, Call, tried); outcome != NoNode {
		t.Errorf("%v %d", n, outcome)
	}
	if n, outcome := l.Pick(l.now, Call, nil); outcome != Full {
		t.Errorf("%v %d: nobody may go to a node that is down because another is full", n, outcome)
	}
}

// TestBalancer_SetNodes_KeepsHealthyForGrace also checks that a node with a new URL is a new node.
func TestBalancer_SetNodes_KeepsHealthyForGrace(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Grace: 10 * time.Second}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{Err: "refused"})
	if changes := l.list(); len(changes) != 1 || changes[0].ID != "b" || !changes[0].Gone {
		t.Errorf("%+v", changes)
	}
	l.now = l.now.Add(10 * time.Second)
	l.list()
	l.want("a", Up)
	l.now = l.now.Add(time.Second)
	if changes := l.list(); len(changes) != 1 || changes[0].ID != "a" || l.Ready() {
		t.Errorf("%+v", changes)
	}
	l.list("a")
	l.check("a", Check{})
	old := l.node("a")
	l.TakeSlot(l.now, old, Call)
	l.SetNodes(l.now, []membership.Node{{ID: "a", URL: "http://elsewhere", SeenAt: esh3ar.TimeOf(l.now)}})
	l.want("a", Unchecked)
	l.End(l.now, old, Call, Answered, time.Millisecond)
	if n := l.node("a"); n == old || n.calls != 0 {
		t.Errorf("%+v", n)
	}
	l.check("a", Check{})
	l.SetNodes(l.now, []membership.Node{{ID: "a", URL: "http://elsewhere", Draining: true}})
	l.want("a", NotReady)
}

// TestBalancer_SameURLNewID_KeepsState checks a node that was known by its address only.
func TestBalancer_SameURLNewID_KeepsState(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Slots: 1})
	l.SetNodes(l.now, []membership.Node{{ID: "http://b", URL: "http://b"}, {ID: "http://c", URL: "http://c"}})
	old := l.Nodes()[0]
	l.ApplyCheck(l.now, old, Check{Status: &membership.Node{ID: "b"}})
	l.call("b", Answered)
	l.TakeSlot(l.now, old, Call)
	if changes := l.list("a", "b"); len(changes) != 1 || changes[0].ID != "http://c" || len(l.Nodes()) != 2 {
		t.Fatalf("%+v, %d nodes", changes, len(l.Nodes()))
	}
	l.want("a", Unchecked)
	l.want("b", Up)
	n := l.node("b")
	if n.ID != "b" || n.latency.Value(l.now) != time.Millisecond {
		t.Errorf("%+v", n)
	}
	l.End(l.now, old, Call, Answered, time.Millisecond)
	for _, want := range []bool{true, false} { // the call of before takes no slot, and gives none back
		if l.TakeSlot(l.now, n, Call) != want {
			t.Errorf("%d calls are under way at a node that has one slot", n.calls)
		}
	}
}

// TestBalancer_Streams_LeaveSlotsToCalls checks that streams use at most half of the slots and do not count as calls.
func TestBalancer_Streams_LeaveSlotsToCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{Slots: 4}, "a", "b")
	l.check("a", Check{})
	l.check("b", Check{})
	for range 4 {
		if _, outcome := l.Pick(l.now, Stream, nil); outcome != Chosen {
			t.Fatal(outcome)
		}
	}
	if l.node("a").streams != 2 || l.node("b").streams != 2 {
		t.Errorf("streams are not spread: %d and %d", l.node("a").streams, l.node("b").streams)
	}
	if _, outcome := l.Pick(l.now, Tunnel, nil); outcome != Full {
		t.Error(outcome)
	}
	for range 4 {
		if _, outcome := l.Pick(l.now, Call, nil); outcome != Chosen {
			t.Fatal(outcome)
		}
	}
	if _, outcome := l.Pick(l.now, Call, nil); outcome != Full {
		t.Error(outcome)
	}
}

// TestBalancer_Phones_GoToFewestConnections counts phones that were directed to a node since its last report, too.
func TestBalancer_Phones_GoToFewestConnections(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a", "b")
	l.check("a", Check{Status: &membership.Node{ID: "a", Connections: 10}})
	l.check("b", Check{Status: &membership.Node{ID: "b"}})
	l.now = l.now.Add(time.Hour)
	got := map[membership.NodeID]int{}
	for range 30 {
		n, _ := l.Pick(l.now, Phone, nil)
		l.End(l.now, n, Phone, Answered, time.Millisecond)
		got[n.ID]++
	}
	if got["a"] != 10 || got["b"] != 20 {
		t.Errorf("%v", got)
	}
	for range 20 {
		l.check("a", Check{Status: &membership.Node{ID: "a", Load: 1}})
	}
	if n, _ := l.Pick(l.now, Phone, nil); n.ID != "b" {
		t.Error("a node without capacity gets a phone")
	}
}

// TestBalancer_SickAnswers_AttractNoCalls checks that a node that fails fast does not look like the fastest.
func TestBalancer_SickAnswers_AttractNoCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t, Rules{}, "a", "b")
	for range 20 {
		l.call("a", Sick)
		l.call("b", Answered)
	}
	if slower := l.node("a").latencyFactor(l.node("b"), l.now); slower < 10 {
		t.Errorf("it looks %.1f times slower", slower)
	}
	if latency := l.node("a").latency.Value(l.now); latency > maxSickLatency {
		t.Errorf("%s", latency)
	}
}

// TestBalancer_TwoIDsOneURL_HaveOneShare lists one URL under two ids, as after a restart with a new id or by mistake. It counts
// as one node, and the first id stays while it is listed.
func TestBalancer_TwoIDsOneURL_HaveOneShare(t *testing.T) {
	t.Parallel()
	const same = "http://same"
	for name, ids := range map[string][2]membership.NodeID{"the new id is later": {"a", "b"}, "the new id is earlier": {"b", "a"}} {
		l := newLab(t, Rules{})
		old, back := ids[0], ids[1]
		list := func(ids ...membership.NodeID) []Change {
			words := []membership.Node{{ID: "other", URL: "http://other", SeenAt: esh3ar.TimeOf(l.now)}}
			for _, id := range ids {
				words = append(words, membership.Node{ID: id, URL: same, SeenAt: esh3ar.TimeOf(l.now)})
			}
			slices.SortFunc(words, func(a, b membership.Node) int { return strings.Compare(string(a.ID), string(b.ID)) })
			return l.SetNodes(l.now, words)
		}
		list(old)
		l.check(old, Check{})
		l.check("other", Check{})
		l.now = l.now.Add(time.Hour)
		for _, listed := range [][]membership.NodeID{{old, back}, {old, back}, {back}} {
			if changes := list(listed...); len(changes) != 0 || len(l.Nodes()) != 2 {
				t.Fatalf("%s: %+v, %d nodes", name, changes, len(l.Nodes()))
			}
		}
		l.check(old, Check{Status: &membership.Node{ID: back}})
		l.want(back, Up)
		given := map[string]int{}
		for range 1000 {
			n, _ := l.Pick(l.now, Call, nil)
			l.End(l.now, n, Call, Answered, time.Millisecond)
			given[n.URL]++
		}
		if given[same] < 450 || given[same] > 550 {
			t.Errorf("%s: %v", name, given)
		}
	}
}
