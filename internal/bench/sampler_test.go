package bench

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// played is a minute with two nodes for a while.
func played() *sampler {
	c := &sampler{every: time.Second}
	for i := range 60 {
		m := clusterSample{after: time.Duration(i)*time.Second + time.Millisecond, due: int64(10 * i), taken: int64(9 * i), refused: int64(i), nodes: 1}
		if i >= 20 && i < 40 {
			m.nodes, m.due = 2, m.due+int64(i-20)
		}
		c.samples = append(c.samples, m)
	}
	return c
}

func TestSampler_Course_AveragesBetweenRows(t *testing.T) {
	t.Parallel()
	c := played()
	if c.maxNodes() != 2 || c.last().nodes != 1 {
		t.Errorf("most %d, last %+v", c.maxNodes(), c.last())
	}
	if taken := c.rates(takenThen); taken[0] != 0 || slices.Min(taken[1:]) < 8.99 || slices.Max(taken[1:]) > 9.01 {
		t.Errorf("taken per second: %v", taken)
	}
	lines := c.course()
	if len(lines) < fewLines || len(lines) > 2*fewLines+2 || !strings.Contains(lines[0], "offered/s") {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
	// The end is always there, and an average over more than one moment.
	if last := strings.Fields(lines[len(lines)-1]); !slices.Equal(last, []string{"59.0", "s", "10", "9", "1", "0.00", "1", "0"}) {
		t.Errorf("the last line: %q", last)
	}
}

func TestSampler_Plot_LabelsChangesOfNodes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "plot.svg")
	if err := played().plot(file, 8); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, times := range map[string]int{">1 node<": 2, ">2 nodes<": 1, "<svg": 1, "</svg>\n": 1, "polygon": 2, "NaN": 0} {
		if got := strings.Count(string(text), what); got != times {
			t.Errorf("%q %d times, want %d", what, got, times)
		}
	}
}
