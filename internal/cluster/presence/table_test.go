package presence_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	const r = esh3ar.Recipient(967771234567)
	for c := 1; c <= 3; c++ {
		if first := table.Add(r, c); first != (c == 1) {
			t.Errorf("%d is the first: %t", c, first)
		}
	}
	for _, step := range []struct {
		remove int
		want   []int
	}{{9, []int{1, 2, 3}}, {1, []int{2, 3}}, {3, []int{2}}, {2, nil}, {2, nil}} {
		held := table.Has(r)
		if last := table.Remove(r, step.remove); last != (held && step.want == nil) {
			t.Errorf("%d was the last: %t", step.remove, last)
		}
		if table.Has(r) != (step.want != nil) {
			t.Errorf("without %d: holds %t", step.remove, table.Has(r))
		}
		if got := table.AppendConnections(nil, r); !slices.Equal(got, step.want) {
			t.Errorf("without %d: %v, want %v", step.remove, got, step.want)
		}
	}
	if got := slices.Collect(table.Recipients); len(got) > 0 {
		t.Errorf("still present: %v", got)
	}
}

func TestTableUnderConcurrency(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 1000 {
				r := esh3ar.Recipient(i % 17)
				table.Add(r, g)
				if !slices.Contains(table.AppendConnections(nil, r), g) {
					t.Errorf("%d added to %d and not seen", g, r)
				}
				table.Remove(r, g)
			}
		})
	}
	group.Wait()
	if got := slices.Collect(table.Recipients); len(got) > 0 {
		t.Errorf("still present: %v", got)
	}
}

// TestSharesAreAllRecipients, each once.
func TestSharesAreAllRecipients(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	const many = 10_000
	for r := range esh3ar.Recipient(many) {
		table.Add(967771000000+r, 1)
	}
	seen := map[esh3ar.Recipient]bool{}
	for share := range presence.Shards {
		part := table.Shard(share)
		if len(part) > 2*many/presence.Shards {
			t.Errorf("share %d has %d of %d", share, len(part), many)
		}
		for _, r := range part {
			if seen[r] {
				t.Errorf("%s twice", r)
			}
			seen[r] = true
		}
	}
	if len(seen) != many {
		t.Errorf("%d of %d", len(seen), many)
	}
}
