package redis_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// someRecipients returns recipients that are spread over all slots.
func someRecipients(n int) (rs []esh3ar.Recipient) {
	for i := range n {
		rs = append(rs, esh3ar.Recipient(967770000000+i))
	}
	return rs
}

// wantNodes compares lists of nodes regardless of their order.
func wantNodes(ctx context.Context, t *testing.T, p *redis.Presence, rs []esh3ar.Recipient, want ...[]membership.NodeID) {
	t.Helper()
	got, err := p.Nodes(ctx, rs)
	for _, nodes := range got {
		slices.Sort(nodes)
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v are at %v, %v; want %v", rs, got, err, want)
	}
}

func TestPresence_AssertRetractNodes_Table(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		a, b := open(ctx, t, top.url, "a").Presence(), open(ctx, t, top.url, "b").Presence()
		rs := someRecipients(4)
		for range 2 { // a repetition changes nothing
			if err := errors.Join(a.Assert(ctx, rs[:3]), b.Assert(ctx, rs[1:2])); err != nil {
				t.Fatal(err)
			}
		}
		top.wantExpiry(ctx, t, presence.TTL)
		asked := []esh3ar.Recipient{rs[3], rs[1], rs[0], rs[1]}
		wantNodes(ctx, t, a, asked, nil, []membership.NodeID{"a", "b"}, []membership.NodeID{"a"}, []membership.NodeID{"a", "b"})
		if err := errors.Join(a.Retract(ctx, rs), a.Retract(ctx, rs)); err != nil {
			t.Fatal(err)
		}
		wantNodes(ctx, t, a, asked, nil, []membership.NodeID{"b"}, nil, []membership.NodeID{"b"})
		if err := b.Retract(ctx, rs); err != nil {
			t.Fatal(err)
		}
		if keys := top.keys(ctx, t); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
		for _, empty := range []error{a.Assert(ctx, nil), a.Retract(ctx, nil)} {
			if empty != nil {
				t.Error(empty)
			}
		}
	})
}

func TestPresence_ManyRecipients_OneCall(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		p := open(ctx, t, top.url, "a").Presence()
		rs := someRecipients(3000)
		if err := p.Assert(ctx, rs[:2990]); err != nil {
			t.Fatal(err)
		}
		nodes, err := p.Nodes(ctx, rs)
		if err != nil || len(nodes) != len(rs) {
			t.Fatalf("%d answers, %v", len(nodes), err)
		}
		for i := range nodes {
			if present := len(nodes[i]) == 1; present != (i < 2990) {
				t.Fatalf("recipient %d is at %v", i, nodes[i])
			}
		}
		for i, s := range top.masters {
			if size, err := s.Do(ctx, "DBSIZE"); err != nil || size == int64(0) {
				t.Errorf("master %d holds %v keys, %v", i, size, err)
			}
		}
	})
}

// TestPresence_Entry_Expires: the entry of a node that does not renew it expires, even while another node's entry keeps the key
// alive.
func TestPresence_Entry_Expires(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		dead, alive := open(ctx, t, top.url, "dead").Presence(), open(ctx, t, top.url, "alive").Presence()
		dead.SetTTL(300 * time.Millisecond)
		rs := someRecipients(2)
		if err := errors.Join(alive.Assert(ctx, rs[:1]), dead.Assert(ctx, rs)); err != nil {
			t.Fatal(err)
		}
		top.wantExpiry(ctx, t, presence.TTL)
		await(ctx, t, "only the living node is left", func() bool {
			nodes, err := alive.Nodes(ctx, rs)
			return err == nil && reflect.DeepEqual(nodes, [][]membership.NodeID{{"alive"}, nil})
		})
		await(ctx, t, "the key of the other recipient ended", func() bool { return len(top.keys(ctx, t)) == 1 })
		key := top.keys(ctx, t)[0]
		if n := top.do(ctx, t, "ZCARD", key); n != int64(2) {
			t.Fatalf("%d words are kept: nothing was shown by this", n)
		}
		if err := alive.Assert(ctx, rs[:1]); err != nil {
			t.Fatal(err)
		}
		if n := top.do(ctx, t, "ZCARD", key); n != int64(1) {
			t.Errorf("%d words are kept after the next", n)
		}
	})
}
