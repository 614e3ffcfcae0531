package presence_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// lookUp performs one lookup with the given answers.
func lookUp(t *testing.T, b *presence.RouterState, answers map[esh3ar.Recipient][]membership.NodeID, held ...esh3ar.Recipient) presence.RoutingResult {
	t.Helper()
	asked := b.LookUp()
	nodes, here := make([][]membership.NodeID, len(asked)), make([]bool, len(asked))
	for i, r := range asked {
		nodes[i], here[i] = answers[r], slices.Contains(held, r)
	}
	return b.ResolveTargets(nodes, here, nil)
}

func names(hints []presence.Hint) (list []string) {
	for i := range hints {
		list = append(list, name(&hints[i]))
	}
	return list
}

func TestRouterState_ResolveTargets_GroupsByNodeInOrder(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	b.Enqueue([]presence.Hint{hint(alice, 1), hint(bob, 7), hint(alice, 2), hint(bob, 8), hint(alice, 3)})
	routed := lookUp(t, b, map[esh3ar.Recipient][]membership.NodeID{alice: {"a", "b", "c"}, bob: {"c"}})
	want := map[membership.NodeID][]string{"b": {"1/1", "1/2", "1/3"}, "c": {"1/1", "2/7", "1/2", "2/8", "1/3"}}
	if len(routed.Batches) != len(want) {
		t.Errorf("got %d batches, want %d", len(routed.Batches), len(want))
	}
	for _, p := range routed.Batches {
		if got := names(p.Hints); !slices.Equal(got, want[p.To]) {
			t.Errorf("batch for %s: got %v, want %v", p.To, got, want[p.To])
		}
	}
}

func TestRouterState_ResolveTargets_ReportsOffline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		nodes   []membership.NodeID
		held    bool
		absent  bool
		retract bool // of a stale own entry
	}{
		{"no entries", nil, false, true, false},
		{"own entry is stale", []membership.NodeID{"a"}, false, true, true},
		{"local session not asserted yet", nil, true, false, false},
		{"local session", []membership.NodeID{"a"}, true, false, false},
		{"other node", []membership.NodeID{"b"}, false, false, false},
		{"other node and stale own entry", []membership.NodeID{"a", "b"}, false, false, true},
	} {
		b := presence.NewRouterState("a", presence.Limits{})
		b.Enqueue([]presence.Hint{hint(alice, 1), {Kind: presence.Acknowledged, Recipient: alice}})
		asked := b.LookUp()
		routed := b.ResolveTargets([][]membership.NodeID{c.nodes}, []bool{c.held}, nil)
		if len(asked) != 1 || (len(routed.Offline) == 1) != c.absent {
			t.Errorf("%s: looked up %v, got offline %v", c.name, asked, names(routed.Offline))
		}
		if turn := b.NextBatch(); (len(turn) == 1) != c.retract {
			t.Errorf("%s: got dirty %v, want some: %t", c.name, turn, c.retract)
		}
	}
}

func TestRouterState_LookUp_OneAtATime(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	if b.LookUp() != nil {
		t.Error("a lookup started without hints")
	}
	b.Enqueue([]presence.Hint{hint(alice, 1)})
	b.LookUp()
	b.Enqueue([]presence.Hint{hint(alice, 2)})
	if b.LookUp() != nil {
		t.Error("a second look-up could overtake the first")
	}
	b.ResolveTargets(nil, []bool{false}, errors.New("away"))
	if got := names(lookUp(t, b, nil).Offline); !slices.Equal(got, []string{"1/2"}) {
		t.Errorf("got %v", got)
	}
	if s := b.Stats(); s.LookupFailed != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRouterState_WrongNumberOfAnswers_LookupFails: no recipient may be reported offline because of such an answer, and nothing may
// panic.
func TestRouterState_WrongNumberOfAnswers_LookupFails(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	b.Enqueue([]presence.Hint{hint(alice, 1), hint(bob, 1)})
	b.LookUp()
	if routed := b.ResolveTargets([][]membership.NodeID{nil}, []bool{false, false}, nil); !routed.LookupFailed || len(routed.Offline) > 0 {
		t.Errorf("%+v", routed)
	}
}

// TestRouterState_FullOutbox_DropsNewHints covers the bound on hints and the bound on bytes.
func TestRouterState_FullOutbox_DropsNewHints(t *testing.T) {
	t.Parallel()
	large := hint(alice, 2)
	large.Message = &esh3ar.Message{Content: string(make([]byte, 10_000))}
	for _, c := range []struct {
		name   string
		limits presence.Limits
		tell   []presence.Hint
		want   []string
	}{
		{"hints", presence.Limits{Hints: 2}, []presence.Hint{hint(alice, 1), hint(alice, 2), hint(alice, 3)}, []string{"1/1", "1/2"}},
		{"bytes", presence.Limits{Bytes: 5000}, []presence.Hint{hint(alice, 1), large, hint(alice, 3)}, []string{"1/1", "1/3"}},
	} {
		b := presence.NewRouterState("a", c.limits)
		if b.Enqueue(c.tell) {
			t.Errorf("%s: Enqueue reported that all hints fitted", c.name)
		}
		if got := names(lookUp(t, b, nil).Offline); !slices.Equal(got, c.want) {
			t.Errorf("%s: kept %v, want %v", c.name, got, c.want)
		}
		if s := b.Stats(); s.Enqueued != 3 || s.Dropped != 1 {
			t.Errorf("%s: %+v", c.name, s)
		}
		if !b.Enqueue(c.tell[:1]) {
			t.Errorf("%s: Enqueue failed after a lookup had emptied the outbox", c.name)
		}
	}
}

func TestRouterState_LookUp_IsBounded(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	text := string(make([]byte, 4096))
	var sent []string
	for i := range esh3ar.Seq(3000) {
		h := hint(alice, i)
		h.Message = &esh3ar.Message{Content: text}
		b.Enqueue([]presence.Hint{h})
		sent = append(sent, name(&h))
	}
	var got []string
	for rounds := 0; len(got) < len(sent) && rounds < 100; rounds++ {
		routed := lookUp(t, b, map[esh3ar.Recipient][]membership.NodeID{alice: {"b"}})
		size := 0
		for _, p := range routed.Batches {
			got = append(got, names(p.Hints)...)
			size += len(p.Hints) * len(text)
		}
		if size > 1<<20 {
			t.Errorf("got a batch of %d bytes, want at most 1 MiB", size)
		}
	}
	if !slices.Equal(got, sent) {
		t.Errorf("%d of %d hints left in order", len(got), len(sent))
	}
}

func TestRouterState_MisroutedHint_ForwardedUpToHopLimit(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	var on []uint8
	for hops := range uint8(5) {
		h := hint(alice, 1)
		h.Hops = hops
		here, lost := b.Receive([]presence.Hint{h}, []bool{false})
		if len(here) > 0 {
			t.Errorf("Receive returned %v, want none for this node", names(here))
		}
		if lost != (hops >= 2) {
			t.Errorf("with %d hops, lost: %t", hops, lost)
		}
		for _, p := range lookUp(t, b, map[esh3ar.Recipient][]membership.NodeID{alice: {"a", "b"}}).Batches {
			on = append(on, p.Hints[0].Hops)
		}
	}
	if !slices.Equal(on, []uint8{1, 2}) {
		t.Errorf("forwarded with hops %v, want [1 2]", on)
	}
	if turn := b.NextBatch(); !slices.Equal(turn, []esh3ar.Recipient{alice}) {
		t.Errorf("got dirty %v, want the recipient of the misrouted hints once", turn)
	}
	if s := b.Stats(); s.Received != 5 || s.Misrouted != 5 || s.HopLimitExceeded != 3 {
		t.Errorf("%+v", s)
	}
}

// TestRouterState_ChangeDuringPublish_PublishedAgain checks the order of operations on which presence depends.
func TestRouterState_ChangeDuringPublish_PublishedAgain(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	b.Changed(alice)
	if turn := b.NextBatch(); !slices.Equal(turn, []esh3ar.Recipient{alice}) {
		t.Fatalf("got %v", turn)
	}
	assert, retract := b.Decide([]bool{true})
	if len(assert) != 1 || len(retract) != 0 {
		t.Errorf("Decide: got asserted %v and retracted %v, want one asserted", assert, retract)
	}
	b.Changed(alice) // its session has ended
	if b.NextBatch() != nil {
		t.Error("NextBatch started a second operation")
	}
	if _, ok := b.Renew(); ok {
		t.Error("Renew started during an operation")
	}
	if got := b.Done(nil, nil); !slices.Equal(got, []esh3ar.Recipient{alice}) {
		t.Errorf("Done: got %v to compare, want alice", got)
	}
	if turn := b.NextBatch(); !slices.Equal(turn, []esh3ar.Recipient{alice}) {
		t.Errorf("next batch: got %v, want alice", turn)
	}
	if _, retract = b.Decide([]bool{false}); len(retract) != 1 {
		t.Error("the ended session is not retracted")
	}
	if got := b.Done(nil, nil); len(got) > 0 {
		t.Errorf("Done: got %v to compare, want none after a retraction", got)
	}
	if share, ok := b.Renew(); !ok || share != 0 {
		t.Errorf("Renew: got shard %d, %t, want 0, true", share, ok)
	}
	b.Changed(bob)
	if b.NextBatch() != nil {
		t.Error("NextBatch started during a renewal")
	}
	b.Renewed(0, nil)
	if share, _ := b.Renew(); share != 1 {
		t.Errorf("Renew: got shard %d, want 1", share)
	}
}

// TestRouterState_Renew_CyclesThroughAllShards renews every shard in turn.
func TestRouterState_Renew_CyclesThroughAllShards(t *testing.T) {
	t.Parallel()
	b := presence.NewRouterState("a", presence.Limits{})
	seen := map[int]int{}
	for range 2 * presence.Shards {
		shard, _ := b.Renew()
		b.Renewed(0, nil)
		seen[shard]++
	}
	for shard := range presence.Shards {
		if seen[shard] != 2 {
			t.Errorf("shard %d: renewed %d times, want 2", shard, seen[shard])
		}
	}
}
