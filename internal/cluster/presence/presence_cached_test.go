package presence_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/testkit/clustersim"
)

// counted is a Presence that records the recipients of its lookups.
type counted struct {
	presence.Presence
	asked []esh3ar.Recipient
}

func (c *counted) Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	c.asked = append(c.asked, rs...)
	return c.Presence.Nodes(ctx, rs)
}

// TestCachedPresence_Nodes_CachedForASecond: a recipient with nodes is looked up once a second, one without nodes every time, and
// this node sees its own changes at once.
func TestCachedPresence_Nodes_CachedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		source := &counted{Presence: clustersim.Presence{Cluster: c, Self: "a"}}
		p := presence.NewCachedPresence(source)
		c.Plant("b", alice)
		find := func(want [][]membership.NodeID, asked ...esh3ar.Recipient) {
			t.Helper()
			source.asked = nil
			got, err := p.Nodes(t.Context(), []esh3ar.Recipient{alice, bob})
			if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("Nodes: got %v, %v, want %v", got, err, want)
			}
			if !slices.Equal(source.asked, asked) {
				t.Errorf("looked up %v, want %v", source.asked, asked)
			}
		}
		find([][]membership.NodeID{{"b"}, nil}, alice, bob)
		find([][]membership.NodeID{{"b"}, nil}, bob)
		if err := p.Assert(t.Context(), []esh3ar.Recipient{alice}); err != nil {
			t.Fatal(err)
		}
		find([][]membership.NodeID{{"a", "b"}, nil}, alice, bob)
		if err := p.Retract(t.Context(), []esh3ar.Recipient{alice}); err != nil {
			t.Fatal(err)
		}
		find([][]membership.NodeID{{"b"}, nil}, alice, bob)
		c.Plant("d", alice)
		find([][]membership.NodeID{{"b"}, nil}, bob)
		time.Sleep(time.Second)
		find([][]membership.NodeID{{"b", "d"}, nil}, alice, bob)
		time.Sleep(time.Second)
		c.Away(true, false)
		if nodes, err := p.Nodes(t.Context(), []esh3ar.Recipient{alice}); err == nil {
			t.Errorf("presence is unavailable: got %v, want an error", nodes)
		}
		if s := p.Stats(); s.Name != "presence" {
			t.Errorf("got name %q, want presence", s.Name)
		}
	})
}
