package autoscale

import (
	"fmt"
	"testing"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// TestForeignNodes_HighestAndLowest_OfLastThree: draining nodes and nodes of the target do not count.
func TestForeignNodes_HighestAndLowest_OfLastThree(t *testing.T) {
	t.Parallel()
	look := func(peers, draining, own int) (nodes []membership.Node) {
		for i := range peers {
			nodes = append(nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("peer-", i)), Draining: i < draining})
		}
		for i := range own {
			nodes = append(nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("own-", i))})
		}
		return nodes
	}
	var first foreignNodes
	if first.observe(look(3, 0, 0), nil); first.lowest() != 0 {
		t.Errorf("of one look: least %d", first.lowest())
	}
	var p foreignNodes
	for i, c := range []struct {
		seen        []membership.Node
		most, least int
		known       bool
	}{
		{look(0, 0, 1), 0, 0, false},
		{look(3, 0, 1), 3, 0, true},
		{look(1, 0, 1), 3, 0, true},
		{look(2, 0, 1), 3, 1, true},
		{look(2, 0, 1), 2, 1, true},
		{look(5, 3, 1), 2, 2, true},
		{look(0, 0, 1), 2, 0, true},
		{look(0, 0, 1), 2, 0, true},
		{look(0, 0, 1), 0, 0, true},
	} {
		p.observe(c.seen, []membership.NodeID{"own-0"})
		if most, known := p.highest(); most != c.most || known != c.known || p.lowest() != c.least {
			t.Errorf("look %d: most %d (known: %t), least %d", i, most, known, p.lowest())
		}
	}
}
