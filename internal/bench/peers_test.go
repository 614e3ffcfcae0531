package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func valid() Options {
	return Options{Duration: time.Second, Rounds: 1, Size: 100, Ack: AckInvoke}
}

// TestOptions_MissingPeer_NamesTheInstallCommand runs with an empty PATH, then with a program of each name.
func TestOptions_MissingPeer_NamesTheInstallCommand(t *testing.T) { //nolint:paralleltest // it sets the PATH
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for name, p := range peers {
		o := valid()
		o.Versus = []string{name}
		err := o.Check()
		if err == nil || !strings.Contains(err.Error(), "--versus: "+name) || !strings.HasSuffix(err.Error(), "run: "+p.install) {
			t.Errorf("%s is missing: got %v, want an error that ends with %q", name, err, p.install)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := o.Check(); err != nil {
			t.Errorf("%s is installed: got %v, want nil", name, err)
		}
	}
}

func TestOptions_UnknownPeer_ListsTheNames(t *testing.T) {
	t.Parallel()
	o := valid()
	o.Versus = []string{"unknown"}
	err := o.Check()
	if err == nil || !strings.Contains(err.Error(), "centrifugo, haproxy, nginx") {
		t.Errorf("unknown system: got %v, want an error with the list", err)
	}
}

// TestReport_Ratio_PrintsMedianIntervalAndVerdict: the ratio of each round counts, not the ratio of the medians.
func TestReport_Ratio_PrintsMedianIntervalAndVerdict(t *testing.T) {
	t.Parallel()
	r := Report{}
	r.addRatio("esh3ar", "CPU ÷ other", []float64{60, 90, 120}, []float64{40, 75, 40}, "B11", 1.15, 1)
	row := r.Rows[0]
	if row.Value != 1.5 || row.Spread.Low != 1.2 || row.Spread.High != 3 || len(row.Rounds) != 3 {
		t.Errorf("row: got %+v with %+v, want the median 1.5 from 1.2 to 3", row, row.Spread)
	}
	if missed := r.Missed(); len(missed) != 1 || !strings.HasPrefix(missed[0], "B11") {
		t.Errorf("missed: got %q, want B11", missed)
	}
	var text strings.Builder
	if err := r.print(&text); err != nil || !strings.Contains(text.String(), "1.5 (1.2 to 3)") {
		t.Errorf("table: got %v and %q, want the interval", err, text.String())
	}
}
