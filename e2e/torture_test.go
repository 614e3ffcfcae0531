package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTorture_ShortRun_CoversEverything checks that every kind of event which torture can judge occurs in a short run.
func TestTorture_ShortRun_CoversEverything(t *testing.T) {
	verdict := torture(t, "--kills", "7", "--phones", "36") // enough silent phones for dead letters and replays on a slow machine
	occurred(t, verdict)
}

// TestTorture_ClusterShortRun_CoversEverything uses a seed that kills and pauses PostgreSQL and injects a fault into
// every process and link.
func TestTorture_ClusterShortRun_CoversEverything(t *testing.T) {
	verdict := torture(t, "--cluster", "--kills", "8", "--seed", "1")
	occurred(t, verdict, "cuts", "wipes", "spilled", "duplicates")
	var names []string
	parts, _ := verdict["parts"].([]any)
	for _, p := range parts {
		part, _ := p.(map[string]any)
		names = append(names, fmt.Sprint(part["name"]))
	}
	want := "PostgreSQL Redis 1 Redis 2 Redis 3"
	for node := 1; node <= 3; node++ {
		for _, server := range []string{"PostgreSQL", "Redis 1", "Redis 2", "Redis 3"} {
			want += fmt.Sprintf(" link from node %d to %s", node, server)
		}
	}
	if got := strings.Join(names, " "); got != want+" node 1 node 2 node 3" {
		t.Errorf("only these suffered: %s", got)
	}
}

// torture runs it and gives the verdict, which must be good.
func torture(t *testing.T, args ...string) (verdict map[string]any) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "verdict.json")
	code, stdout, stderr := esh3ar(t, append([]string{"torture", "--json", file}, args...)...)
	if code != 0 || !strings.Contains(stdout, "verdict: every promise was kept") {
		t.Fatalf("torture: %d\n%s%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &verdict); err != nil {
		t.Fatal(err)
	}
	return verdict
}

// occurred checks that every counter is above zero.
func occurred(t *testing.T, verdict map[string]any, besides ...string) {
	t.Helper()
	for _, name := range append([]string{
		"rounds", "kills", "pauses", "accepted", "unknown", "mismatched", "again", "scheduled", "mortal", "cancels", "replays", "received",
		"repeats", "syncs", "tripped", "delivered", "read", "expired", "canceled", "failed", "dead",
	}, besides...) {
		if n, ok := verdict[name].(float64); !ok || n == 0 {
			t.Errorf("%s is %v: it did not occur\n%v", name, verdict[name], verdict)
		}
	}
	for _, name := range []string{"keys", "inboxes"} {
		checked, _ := verdict[name].(map[string]any)
		if checked["histories"] == 0.0 || checked["operations"] == 0.0 || checked["undecided"] != 0.0 || checked["leftOut"] != 0.0 {
			t.Errorf("%s: %v", name, checked)
		}
	}
	consumers, _ := verdict["consumers"].([]any)
	if len(consumers) != 4 {
		t.Errorf("consumers: %v", consumers)
	}
	for _, c := range consumers {
		if one, _ := c.(map[string]any); one["events"] == 0.0 || one["connections"] == 0.0 || one["connections"] == 1.0 {
			t.Errorf("consumer: %v", one)
		}
	}
}
