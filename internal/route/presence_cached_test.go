package route_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/route"
	"github.com/esh3artech/esh3ar/internal/route/routetest"
)

// counted is presence that counts who was looked up.
type counted struct {
	route.Presence
	asked []esh3ar.Recipient
}

func (c *counted) Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]route.NodeID, error) {
	c.asked = append(c.asked, rs...)
	return c.Presence.Nodes(ctx, rs)
}

// TestPresenceIsRememberedForASecond: who is somewhere is looked up once a second, who is nowhere each time, and what this node
// says itself it sees at once.
func TestPresenceIsRememberedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := routetest.New()
		source := &counted{Presence: routetest.Presence{Cluster: c, Self: "a"}}
		p := route.NewCachedPresence(source)
		c.Plant("b", alice)
		find := func(want [][]route.NodeID, asked ...esh3ar.Recipient) {
			t.Helper()
			source.asked = nil
			got, err := p.Nodes(t.Context(), []esh3ar.Recipient{alice, bob})
			if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("found %v, %v, want %v", got, err, want)
			}
			if !slices.Equal(source.asked, asked) {
				t.Errorf("looked %v up, want %v", source.asked, asked)
			}
		}
		find([][]route.NodeID{{"b"}, nil}, alice, bob)
		find([][]route.NodeID{{"b"}, nil}, bob)
		if err := p.Assert(t.Context(), []esh3ar.Recipient{alice}); err != nil {
			t.Fatal(err)
		}
		find([][]route.NodeID{{"a", "b"}, nil}, alice, bob)
		if err := p.Retract(t.Context(), []esh3ar.Recipient{alice}); err != nil {
			t.Fatal(err)
		}
		find([][]route.NodeID{{"b"}, nil}, alice, bob)
		c.Plant("d", alice)
		find([][]route.NodeID{{"b"}, nil}, bob)
		time.Sleep(time.Second)
		find([][]route.NodeID{{"b", "d"}, nil}, alice, bob)
		time.Sleep(time.Second)
		c.Away(true, false)
		if nodes, err := p.Nodes(t.Context(), []esh3ar.Recipient{alice}); err == nil {
			t.Errorf("presence is away, and still found %v", nodes)
		}
		if s := p.Stats(); s.Name != "presence" {
			t.Errorf("counted as %q", s.Name)
		}
	})
}
