package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Key, Value string
}

// testRun is what a test run has shown.
type testRun struct {
	begun  map[test]bool
	passed map[test]bool
	claims map[test]string // attributes "checklist"
	failed []string        // packages
	ended  map[string]bool // packages that passed, failed or have no tests
	output map[test]*strings.Builder
	broken map[test]bool // tests that failed
}

// test names a test of a package; its name is empty for what the package itself says.
type test struct{ pkg, name string }

// read follows a test run to its end and prints what go test prints without -json: the packages' last lines, and all that
// failed tests had to say.
func read(in io.Reader, out io.Writer) (*testRun, error) {
	r := &testRun{
		begun: make(map[test]bool), passed: make(map[test]bool), claims: make(map[test]string),
		output: make(map[test]*strings.Builder), broken: make(map[test]bool), ended: make(map[string]bool),
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line, out)
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read test events: %w", err)
		}
	}
}

func (r *testRun) line(line []byte, out io.Writer) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		_, _ = out.Write(line) // the go command's own words; a terminal that is gone is nobody's fault
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.keep(t, e.Output)
	case "build-output":
		_, _ = io.WriteString(out, e.Output) // as above
	case "run":
		r.begun[t] = true
	case "attr":
		if e.Key == "checklist" {
			r.claims[t] += e.Value + " "
		}
	case "pass":
		r.passed[t] = true
	case "fail":
		r.broken[t] = true
	}
	if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
		r.finish(t, e.Action == "fail", out)
	}
}

// missing lists the packages that have not reported their end.
func (r *testRun) missing(packages []string) (missing []string) {
	for _, pkg := range packages {
		if !r.ended[pkg] {
			missing = append(missing, pkg)
		}
	}
	return missing
}

func (r *testRun) keep(t test, output string) {
	b := r.output[t]
	if b == nil {
		b = new(strings.Builder)
		r.output[t] = b
	}
	b.WriteString(output)
}

// raceReport begins the race detector's words. They come from somewhere in the process, and are noted under whatever test was named
// last, which may have passed.
const raceReport = "WARNING: DATA RACE"

// finish prints what is to be said of a package that has ended, and forgets the rest.
func (r *testRun) finish(pkg test, failed bool, out io.Writer) {
	r.ended[pkg.pkg] = true
	if failed {
		r.failed = append(r.failed, pkg.pkg)
	}
	for t, b := range r.output {
		if t.pkg != pkg.pkg {
			continue
		}
		if t.name != "" {
			if failed && (r.broken[t] || !r.passed[t] || strings.Contains(b.String(), raceReport)) {
				_, _ = io.WriteString(out, b.String()) // as in line
			}
			delete(r.output, t)
		}
	}
	if b := r.output[pkg]; b != nil {
		text := b.String()
		if !failed {
			text = strings.TrimPrefix(text, "PASS\n")
		}
		_, _ = io.WriteString(out, text) // as in line
		delete(r.output, pkg)
	}
}
