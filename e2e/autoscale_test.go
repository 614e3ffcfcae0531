package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchAutoscale runs the autoscale scenario of bench with a short ramp: nodes are added and removed, phones follow,
// and the ledger of bench checks that every accepted message arrived in order. Speed is not checked, since the machine
// runs other tests. The test runs alone, because it needs many ports.
func TestBenchAutoscale(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "plot.svg")
	found, output := benchReport(t, "--autoscale", "--short", "--plot", plot)
	rows := map[string]float64{}
	for _, row := range found.Rows {
		rows[row.What] = row.Value
	}
	if rows["nodes at most"] < 2 || rows["nodes at the end"] != 1 || rows["phones sent to another node"] == 0 {
		t.Errorf("nodes and phones: %v\n%s", rows, output)
	}
	if taken := rows["taken: answered 202"]; taken < 100 || taken != rows["taken and arrived"] || rows["lost"] != 0 || rows["out of order"] != 0 {
		t.Errorf("the ledger: %v\n%s", rows, output)
	}
	diary := found.Texts[len(found.Texts)-1]
	for _, what := range []string{"decides from here on", "1 → 2  rising", "2 → 1  falling"} {
		if diary.Title != "Scaler history" || !strings.Contains(strings.Join(diary.Lines, "\n"), what) {
			t.Errorf("no %q in %+v", what, diary)
		}
	}
	if svg, err := os.ReadFile(plot); err != nil || !strings.Contains(string(svg), "2 nodes") || !strings.HasSuffix(string(svg), "</svg>\n") {
		t.Errorf("the plot: %v %s", err, svg)
	}
	t.Log(output)
}

// scalerAnswer is the part of GET /admin/v1/scaler that the test reads.
type scalerAnswer struct {
	Holder          string
	Here            bool
	Current, Wanted int
	Decision        struct {
		Number int
		Why    string
	}
	Items      []struct{ Number, To int }
	NextBefore int
}

func (p *platform) scaler(query string) scalerAnswer {
	var a scalerAnswer
	p.t.Helper()
	p.call("GET", "/admin/v1/scaler"+query, p.secrets.AdminToken, nil, &a)
	return a
}

// TestScalerStatus_AnyNode_ReturnsHistory checks that the deciding node returns its newest decision, and another node
// the stored history.
func TestScalerStatus_AnyNode_ReturnsHistory(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	plain := start(t, "--database-url", url, "--redis-url", redis.URL())
	if a := plain.scaler(""); a.Holder != "" || a.Here || a.Current != 1 || a.Wanted != 0 || len(a.Items) != 0 {
		t.Errorf("before there is a scaler: %+v", a)
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("min: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	deciding := plain.join("--autoscale", "--scale-policy", policy, "--scale-every", "1s")
	var a, other scalerAnswer
	eventually(t, func() bool {
		a, other = deciding.scaler(""), plain.scaler("?limit=1")
		again := deciding.scaler("") // a decision in between is told by one of them only
		// Four if the first decision came before the deciding node was listed.
		return a.Wanted >= 3 && a.Current == a.Wanted && len(a.Items) >= 2 && len(again.Items) == len(a.Items)
	}, func() string { return fmt.Sprintf("not at least three nodes: %+v\n%s", a, deciding.node.Stderr) })
	if !a.Here || a.Holder == "" || a.Decision.Why == "" {
		t.Errorf("the node that decides: %+v", a)
	}
	if other.Here || other.Holder != a.Holder || other.Wanted != a.Wanted || other.Decision.Number != a.Items[0].Number || other.NextBefore != a.Items[0].Number {
		t.Errorf("another node: %+v, and the one that decides: %+v", other, a)
	}
	if next := plain.scaler(fmt.Sprint("?before=", other.NextBefore)); len(next.Items) != len(a.Items)-1 || next.NextBefore != 0 {
		t.Errorf("the next page: %+v", next)
	}
	if err := deciding.node.Stop(); err != nil {
		t.Error(err)
	}
	if a := plain.scaler(""); a.Holder != "" || len(a.Items) < 2 {
		t.Errorf("after its end: %+v", a)
	}
}
