// Command table turns a test run into the conformance table. It reads the output of go test -json from standard input,
// prints what go test would have printed, and compares the table that this run proves with the one in the repository:
//
//	go test -json ./signalr/... | go run ./signalr/conformance/table -packages ./signalr/...
//
// It exits with 1 when a test failed, a package of -packages did not report its end, an item that must be proven was not, or the
// tables differ. With -write it writes the file instead of comparing.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/esh3artech/esh3ar/signalr/conformance"
)

func main() {
	file := flag.String("file", "docs/signalr-conformance.md", "the table")
	write := flag.Bool("write", false, "write the table in place of comparing it")
	pattern := flag.String("packages", "./...", "the packages of the test run: each has to report its end")
	flag.Parse()
	packages, err := list(*pattern)
	if err == nil {
		err = run(os.Stdin, os.Stdout, packages, *file, *write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// list returns the packages that a pattern names.
func list(pattern string) ([]string, error) {
	text, err := exec.Command("go", "list", pattern).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", pattern, err)
	}
	packages := strings.Fields(string(text))
	if len(packages) == 0 {
		return nil, fmt.Errorf("go list %s: no packages", pattern)
	}
	return packages, nil
}

func run(in io.Reader, out io.Writer, packages []string, file string, write bool) error {
	r, err := read(in, out)
	if err != nil {
		return err
	}
	sections, err := conformance.Checklist()
	if err != nil {
		return err
	}
	if len(r.failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(r.failed, ", "))
	}
	if missing := r.missing(packages); len(missing) > 0 {
		return fmt.Errorf("the test run was cut off: no end of %s", strings.Join(missing, ", "))
	}
	proofs := r.proofs("/signalr")
	if open := unproven(sections, proofs); len(open) > 0 {
		return fmt.Errorf("no test that passed proves %s", strings.Join(open, ", "))
	}
	if alien := unknown(sections, proofs); len(alien) > 0 {
		return fmt.Errorf("the checklist has no %s", strings.Join(alien, ", "))
	}
	versions, err := conformance.Clients()
	if err != nil {
		return err
	}
	table := render(sections, proofs) + renderClients(r.clients("/signalr"), versions)
	if write {
		return os.WriteFile(file, []byte(table), 0o644) //nolint:gosec // it is for everybody
	}
	stands, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if string(stands) != table {
		return fmt.Errorf("%s is not what this run proves; run: make conformance\n%s", file, difference(string(stands), table))
	}
	return nil
}

// difference lists the lines that only one of two texts has.
func difference(stands, proven string) string {
	var b strings.Builder
	only := func(sign, a, other string) {
		has := make(map[string]bool)
		for line := range strings.Lines(other) {
			has[line] = true
		}
		for line := range strings.Lines(a) {
			if !has[line] {
				b.WriteString(sign + line)
			}
		}
	}
	only("- ", stands, proven)
	only("+ ", proven, stands)
	return b.String()
}
