package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/flow"
)

func announce(ctx context.Context, r *redis.Registry, n membership.Node) error {
	_, err := r.Announce(ctx, n)
	return err
}

func TestRegistry_AnnounceLeaveNodes_Table(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		client := open(ctx, t, top.url, "a")
		a, b := client.Registry(), open(ctx, t, top.url, "b").Registry()
		if nodes, err := a.Nodes(ctx); err != nil || len(nodes) > 0 {
			t.Errorf("before anybody came: %v, %v", nodes, err)
		}
		said := membership.Node{ID: "a", URL: "http://a:8080", Version: "1.2.3", StartedAt: 1_700_000_000_000, Draining: true, Connections: 4, Waiting: 5, Spilled: 6, Load: 0.75, Parts: flow.Load{CPU: 0.75, Queue: 0.5}}
		if err := errors.Join(announce(ctx, b, membership.Node{ID: "not b"}), announce(ctx, a, membership.Node{}), announce(ctx, a, said)); err != nil {
			t.Fatal(err)
		}
		top.wantExpiry(ctx, t, membership.TTL)
		if before, err := a.Announce(ctx, said); err != nil || before != said {
			t.Errorf("the word before: %+v, %v", before, err)
		}
		nodes, err := b.Nodes(ctx)
		if err != nil || len(nodes) != 2 || nodes[1].ID != "b" {
			t.Fatalf("%+v, %v", nodes, err)
		}
		first := nodes[0].SeenAt
		if age := time.Since(first.Time()).Abs(); age > time.Hour {
			t.Errorf("seen at %s", first)
		}
		said.SeenAt = first
		if nodes[0] != said {
			t.Errorf("got  %+v\nwant %+v", nodes[0], said)
		}
		await(ctx, t, "a later heartbeat is seen later", func() bool {
			if err := announce(ctx, a, said); err != nil {
				t.Fatal(err)
			}
			nodes, err := a.Nodes(ctx)
			return err == nil && len(nodes) > 0 && nodes[0].ID == "a" && nodes[0].SeenAt > first
		})

		// An entry of another version may be unreadable.
		top.do(ctx, t, "HSET", prefix(t)+"{nodes}:word", "b", "}")
		if nodes, err := a.Nodes(ctx); err != nil || len(nodes) != 1 || client.Stats().NodesUnreadable != 1 {
			t.Errorf("with an unreadable word: %+v, %v, %d counted", nodes, err, client.Stats().NodesUnreadable)
		}
		if before, err := b.Announce(ctx, membership.Node{}); err != nil || before.ID != "" {
			t.Errorf("in the place of an unreadable word: %+v, %v", before, err)
		}
		if err := errors.Join(a.Leave(ctx), a.Leave(ctx)); err != nil {
			t.Fatal(err)
		}
		if before, err := a.Announce(ctx, said); err != nil || before.ID != "" {
			t.Errorf("in the place of who has left: %+v, %v", before, err)
		}
		if err := a.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if nodes, err := a.Nodes(ctx); err != nil || len(nodes) != 1 || nodes[0].ID != "b" {
			t.Errorf("after one left: %+v, %v", nodes, err)
		}
		if err := b.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		if keys := top.keys(ctx, t); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
	})
}

func TestRegistry_NodeStopsAnnouncing_IsRemoved(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, top *topology) {
		dead, alive := open(ctx, t, top.url, "dead").Registry(), open(ctx, t, top.url, "alive").Registry()
		dead.SetTTL(300 * time.Millisecond)
		alive.SetTTL(time.Hour)
		if err := errors.Join(announce(ctx, alive, membership.Node{}), announce(ctx, dead, membership.Node{})); err != nil {
			t.Fatal(err)
		}
		await(ctx, t, "only the living node is left", func() bool {
			nodes, err := alive.Nodes(ctx)
			return err == nil && len(nodes) == 1 && nodes[0].ID == "alive"
		})
		if err := announce(ctx, alive, membership.Node{}); err != nil {
			t.Fatal(err)
		}
		for _, ask := range [][]string{{"ZCARD", prefix(t) + "{nodes}:until"}, {"HLEN", prefix(t) + "{nodes}:word"}} {
			if n := top.do(ctx, t, ask...); n != int64(1) {
				t.Errorf("%s: %v", ask, n)
			}
		}
	})
}
