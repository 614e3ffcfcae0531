package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/bench"
	"github.com/esh3artech/esh3ar/internal/bench/rounds"
)

func report() bench.Report {
	least, aim := 1.15, 1.0
	spread := rounds.Of([]float64{1.2, 1.1, 1.3})
	return bench.Report{
		Machine: "two cores", Command: "esh3ar bench --versus centrifugo", Notes: []string{"a note"}, Faults: []string{"lost 1"},
		Rows: []bench.Row{
			{Scenario: "esh3ar", What: "CPU per message ÷ Centrifugo", Value: 1.2, Budget: "B11", Least: &least, Aim: &aim, Spread: &spread, Rounds: []float64{1.2, 1.1, 1.3}},
			{Scenario: "other", What: "CPU per message", Value: 41, Unit: "µs", Rounds: []float64{41}},
		},
		Curves: []bench.Curve{{Dimension: "stored messages", What: "CPU per message", Unit: "µs", Points: []bench.Point{{X: 1000, Spread: spread}, {X: 20, Spread: spread}}}},
	}
}

// TestUpdate_Page_ReplacesOnlyTheGeneratedPart runs twice: the second run changes nothing.
func TestUpdate_Page_ReplacesOnlyTheGeneratedPart(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# By hand\n"+beginMarker+"old\n"+endMarker+"also by hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var first string
	for range 2 {
		if err := update(page, []bench.Report{report()}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(text)
		} else if string(text) != first {
			t.Errorf("the second run changed the page: got\n%s\nwant\n%s", text, first)
		}
	}
	for _, want := range []string{
		"# By hand\n" + beginMarker, endMarker + "also by hand\n", "`esh3ar bench --versus centrifugo` on two cores.", "- a note\n", "- **Not valid**: lost 1\n",
		"| B11 | esh3ar | CPU per message ÷ Centrifugo | 1.2 (1.1 to 1.3) | 1.15 | 1 | NOT met |\n", "|  | other | CPU per message | 41 µs |",
		"![CPU per message over stored messages](benchmarks-stored-messages.svg)",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("page: no %q in\n%s", want, first)
		}
	}
	if strings.Contains(first, "old\n") {
		t.Errorf("the old part is still there:\n%s", first)
	}
	plot, err := os.ReadFile(filepath.Join(filepath.Dir(page), "benchmarks-stored-messages.svg"))
	if err != nil || !strings.Contains(string(plot), "<polyline") || !strings.Contains(string(plot), `>3</tspan>`) {
		t.Errorf("plot: got %v and\n%s", err, plot)
	}
}

func TestUpdate_NoMarkers_IsAnErrorAndKeepsThePage(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# By hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := update(page, []bench.Report{{}}); err == nil {
		t.Error("update: got nil, want an error that names the markers")
	}
	if text, err := os.ReadFile(page); err != nil || string(text) != "# By hand\n" {
		t.Errorf("page: got %q, %v, want it unchanged", text, err)
	}
}

func TestWriteBenchmarks_Rounds_AreLinesForBenchstat(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := writeBenchmarks(&text, []bench.Report{report()}, "esh3ar"); err != nil {
		t.Fatal(err)
	}
	if got, want := text.String(), "BenchmarkCPUPerMessageCentrifugo 1 1.2 ratio\nBenchmarkCPUPerMessageCentrifugo 1 1.1 ratio\nBenchmarkCPUPerMessageCentrifugo 1 1.3 ratio\n"; got != want {
		t.Errorf("lines: got %q, want %q", got, want)
	}
	if err := writeBenchmarks(&text, []bench.Report{report()}, "none"); err == nil {
		t.Error("no rounds: got nil, want an error")
	}
}
