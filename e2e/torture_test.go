package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAShortTortureExercisesEverything: a short run is worth its time only if everything that it can judge occurs in it.
func TestAShortTortureExercisesEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verdict.json")
	code, stdout, stderr := esh3ar(t, "torture", "--kills", "6", "--json", file)
	if code != 0 || !strings.Contains(stdout, "verdict: every promise was kept") {
		t.Fatalf("torture: %d\n%s%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var verdict map[string]any
	if err := json.Unmarshal(text, &verdict); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"rounds", "kills", "pauses", "accepted", "unknown", "mismatched", "again", "scheduled", "mortal", "cancels", "replays", "received",
		"repeats", "syncs", "tripped", "delivered", "read", "expired", "canceled", "failed", "dead",
	} {
		if n, ok := verdict[name].(float64); !ok || n == 0 {
			t.Errorf("%s is %v: it did not occur\n%s", name, verdict[name], stdout)
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
