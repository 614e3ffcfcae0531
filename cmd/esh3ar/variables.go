package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// variablePrefix is the prefix of the environment variables of all flags.
const variablePrefix = "ESH3AR_"

// otherVariables have no flag: tests and builds with planted faults read them.
var otherVariables = []string{"ESH3AR_PLANTED", "ESH3AR_STORED"}

// warnUnknownVariables logs variables with our prefix that no flag reads, because a mistyped name would be ignored silently. It is not
// an error: the environment may hold variables of another version.
func warnUnknownVariables(w io.Writer, root *kong.Node, environment []string) {
	known := slices.Clone(otherVariables)
	var collect func(*kong.Node)
	collect = func(n *kong.Node) {
		for _, flag := range n.Flags {
			known = append(known, flag.Envs...)
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(root)
	slices.Sort(environment)
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) {
			continue
		}
		text := "no flag reads it"
		if near := nearest(name, known); near != "" {
			text = "did you mean " + near + "?"
		}
		fmt.Fprintf(w, "esh3ar: warning: unknown environment variable %s: %s\n", printable(name), text)
	}
}

// nearest returns the known name with the fewest edits to name; empty if none is near.
func nearest(name string, known []string) (best string) {
	least := 1 + (len(name)-len(variablePrefix))/3 // one more than the edits of a plausible typing mistake
	for _, candidate := range known {
		if d := edits(name, candidate); d <= least {
			best, least = candidate, d-1
		}
	}
	return best
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
