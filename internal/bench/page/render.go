package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/esh3artech/esh3ar/internal/bench"
)

// render writes the tables of all reports and plots their curves.
func render(w io.Writer, page string, reports []bench.Report) error {
	for i := range reports {
		r := &reports[i]
		fmt.Fprintf(w, "\n`%s` on %s.\n", r.Command, r.Machine)
		for _, text := range append(append([]string{}, r.Lowered...), r.Notes...) {
			fmt.Fprintf(w, "- %s\n", text)
		}
		for _, fault := range r.Faults {
			fmt.Fprintf(w, "- **Not valid**: %s\n", fault)
		}
		fmt.Fprint(w, "\n| | scenario | figure | measured | least | aim | |\n|---|---|---|---|---|---|---|\n")
		for _, row := range r.Rows {
			least, aim := "", ""
			if row.Least != nil {
				least, aim = bench.Number(*row.Least), bench.Number(*row.Aim)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", row.Budget, row.Scenario, row.What, strings.TrimSpace(row.Measured()), least, aim, row.Verdict())
		}
		for _, c := range r.Curves {
			name := "benchmarks-" + strings.ReplaceAll(c.Dimension, " ", "-") + ".svg"
			if err := c.Plot(filepath.Join(filepath.Dir(page), name)); err != nil {
				return err
			}
			fmt.Fprintf(w, "\n![%s over %s](%s)\n", c.What, c.Dimension, name)
		}
	}
	fmt.Fprintln(w)
	return nil
}

// camel turns words into a name of a benchmark.
func camel(words string) string {
	var name strings.Builder
	for _, word := range strings.FieldsFunc(words, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}

// unit turns a unit into one that benchstat knows the direction of, or into a name without spaces.
func unit(u string) string {
	switch u {
	case "":
		return "ratio"
	case "µs":
		return "µs/op"
	}
	return u
}
