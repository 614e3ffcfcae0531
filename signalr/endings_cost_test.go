package signalr

import (
	"fmt"
	"testing"
	"time"
)

// TestClose_GroupsOfOthers_CostNothing lets connections join ten groups and end, in a server that holds ten other groups and in one
// that holds 100,000. Looking at each of those would make it some thousand times dearer; the best of five tries and a factor
// of fifty leave room for caches and for whoever else has the processor.
func TestClose_GroupsOfOthers_CostNothing(t *testing.T) {
	t.Attr("checklist", "point8")
	few, many := endings(10), endings(100_000)
	if many > 50*few {
		t.Errorf("%v among ten groups, %v among 100,000", few, many)
	}
}

func endings(others int) time.Duration {
	s := NewServer(NewHub(), Options{Pollers: -1})
	for i := range others {
		s.groups.join(&Conn{server: s}, fmt.Sprint("other ", i))
	}
	best := time.Hour
	for range 5 {
		began := time.Now()
		for range 200 {
			c := &Conn{server: s}
			for i := range 10 {
				s.groups.join(c, fmt.Sprint("group ", i))
			}
			s.groups.end(c, c.extras())
		}
		best = min(best, time.Since(began))
	}
	return best
}
