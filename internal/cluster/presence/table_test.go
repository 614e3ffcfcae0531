package presence_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

func TestTable_AddAndRemove_TracksConnections(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	const r = esh3ar.Recipient(967771234567)
	for c := 1; c <= 3; c++ {
		if first := table.Add(r, c); first != (c == 1) {
			t.Errorf("Add(%d): got first %t", c, first)
		}
	}
	for _, step := range []struct {
		remove int
		want   []int
	}{{9, []int{1, 2, 3}}, {1, []int{2, 3}}, {3, []int{2}}, {2, nil}, {2, nil}} {
		held := table.Has(r)
		if last := table.Remove(r, step.remove); last != (held && step.want == nil) {
			t.Errorf("Remove(%d): got last %t", step.remove, last)
		}
		if table.Has(r) != (step.want != nil) {
			t.Errorf("after Remove(%d): Has() = %t", step.remove, table.Has(r))
		}
		if got := table.AppendConnections(nil, r); !slices.Equal(got, step.want) {
			t.Errorf("after Remove(%d): got %v, want %v", step.remove, got, step.want)
		}
	}
	if got := slices.Collect(table.Recipients); len(got) > 0 {
		t.Errorf("got recipients %v, want none", got)
	}
}

func TestTable_ConcurrentUse_LosesNothing(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 1000 {
				r := esh3ar.Recipient(i % 17)
				table.Add(r, g)
				if !slices.Contains(table.AppendConnections(nil, r), g) {
					t.Errorf("connection %d of recipient %d: not found after Add", g, r)
				}
				table.Remove(r, g)
			}
		})
	}
	group.Wait()
	if got := slices.Collect(table.Recipients); len(got) > 0 {
		t.Errorf("got recipients %v, want none", got)
	}
}

func TestTable_Shards_CoverAllRecipientsOnce(t *testing.T) {
	t.Parallel()
	table := presence.NewTable[int]()
	const many = 10_000
	for r := range esh3ar.Recipient(many) {
		table.Add(967771000000+r, 1)
	}
	seen := map[esh3ar.Recipient]bool{}
	for shard := range presence.Shards {
		part := table.Shard(shard)
		if len(part) > 2*many/presence.Shards {
			t.Errorf("shard %d: got %d of %d recipients, want at most twice its share", shard, len(part), many)
		}
		for _, r := range part {
			if seen[r] {
				t.Errorf("recipient %s is in two shards", r)
			}
			seen[r] = true
		}
	}
	if len(seen) != many {
		t.Errorf("got %d recipients, want %d", len(seen), many)
	}
}
