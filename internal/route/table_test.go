package route_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/route"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := route.NewTable[int]()
	const r = esh3ar.Recipient(967771234567)
	for c := 1; c <= 3; c++ {
		table.Add(r, c)
	}
	for _, step := range []struct {
		remove int
		want   []int
	}{{9, []int{1, 2, 3}}, {1, []int{2, 3}}, {3, []int{2}}, {2, nil}, {2, nil}} {
		table.Remove(r, step.remove)
		if got := table.Of(nil, r); !slices.Equal(got, step.want) {
			t.Errorf("without %d: %v, want %v", step.remove, got, step.want)
		}
	}
	if got := slices.Collect(table.Recipients); len(got) > 0 {
		t.Errorf("still present: %v", got)
	}
}

func TestTableUnderConcurrency(t *testing.T) {
	t.Parallel()
	table := route.NewTable[int]()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 1000 {
				r := esh3ar.Recipient(i % 17)
				table.Add(r, g)
				if !slices.Contains(table.Of(nil, r), g) {
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
