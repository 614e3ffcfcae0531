package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/esh3artech/esh3ar/signalr/conformance"
)

// claim is what a test's name, or its attribute "checklist", says it proves.
var claim = regexp.MustCompile(`(?:item|point)\d+`)

// proofs returns the tests that passed, by the items they claim. Only the last part of a name counts: what a group of tests
// is called says nothing about each of them.
func (r *testRun) proofs(under string) map[string][]string {
	proofs := make(map[string][]string)
	for t := range r.passed {
		if !strings.Contains(t.pkg, under) || !r.parentsPassed(t) {
			continue
		}
		last := t.name[strings.LastIndexByte(t.name, '/')+1:]
		for _, item := range claim.FindAllString(last+" "+r.claims[t], -1) {
			item = canonical(item)
			if !slices.Contains(proofs[item], t.name) {
				proofs[item] = append(proofs[item], t.name)
			}
		}
	}
	return proofs
}

// parentsPassed reports that the tests around a test passed too: a harness that fails proves nothing. What stands between slashes
// is not always a test.
func (r *testRun) parentsPassed(t test) bool {
	for i := strings.LastIndexByte(t.name, '/'); i > 0; i = strings.LastIndexByte(t.name[:i], '/') {
		if around := (test{t.pkg, t.name[:i]}); r.begun[around] && !r.passed[around] {
			return false
		}
	}
	return true
}

// canonical is the checklist's own spelling: "item01" is item1.
func canonical(item string) string {
	digits := strings.IndexAny(item, "0123456789")
	return item[:digits] + strings.TrimLeft(item[digits:], "0")
}

// unproven lists the items that must be proven and are not.
func unproven(sections []conformance.Section, proofs map[string][]string) (open []string) {
	for _, s := range sections {
		for _, item := range s.Items {
			if item.Priority != conformance.Optional && len(proofs[item.Name]) == 0 {
				open = append(open, item.Name)
			}
		}
	}
	return open
}

// unknown lists what tests claim to prove and nobody asked for.
func unknown(sections []conformance.Section, proofs map[string][]string) (alien []string) {
	asked := make(map[string]bool)
	for _, s := range sections {
		for _, item := range s.Items {
			asked[item.Name] = true
		}
	}
	for item := range proofs {
		if !asked[item] {
			alien = append(alien, item)
		}
	}
	slices.Sort(alien)
	return alien
}

const intro = `# SignalR conformance

Which features of Microsoft's SignalR server package [signalr](../signalr) has, and which tests show each of them. ` + "`make conformance`" + `
writes this page from a test run. A test that ran and passed proves the items that are attached to it. No item is marked by hand,
and CI fails if this page differs from its own run.

Priorities: M, without it a real client breaks or data is lost; P, Microsoft's server does so; O, optional. "× 45" means 45 runs of
one case: with each client, transport and protocol that supports it.

`

// render writes the table.
func render(sections []conformance.Section, proofs map[string][]string) string {
	var b strings.Builder
	b.WriteString(intro)
	for _, s := range sections {
		fmt.Fprintf(&b, "## %s %s\n\n| item | | what | proof |\n|---|---|---|---|\n", s.Letter, s.Title)
		for _, item := range s.Items {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.TrimPrefix(item.Name, "item"), item.Priority, item.Text, shown(item, proofs[item.Name]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// shown is the last column of an item.
func shown(item conformance.Item, tests []string) string {
	if len(tests) == 0 {
		if item.Priority == conformance.Optional {
			return "not done"
		}
		return "**unproven**"
	}
	names := make(map[string]int)
	for _, t := range tests {
		names[short(t)]++
	}
	var list []string
	for name, n := range names {
		if n > 1 {
			name = fmt.Sprintf("%s × %d", name, n)
		}
		list = append(list, strings.ReplaceAll(name, "|", "\\|"))
	}
	slices.Sort(list)
	return strings.Join(list, "<br>")
}

// numbered is what go test adds to the second test of a name.
var numbered = regexp.MustCompile(`#\d+$`)

// short is a test's name without its claims and without what is between its function and its last part, such as the client,
// transport and protocol that it ran with.
func short(name string) string {
	top, rest, _ := strings.Cut(name, "/")
	last := numbered.ReplaceAllString(rest[strings.LastIndexByte(rest, '/')+1:], "")
	last = strings.Trim(claim.ReplaceAllString(last, ""), "_")
	last = strings.ReplaceAll(last, "_", " ")
	if last = strings.TrimSpace(last); last == "" {
		return top
	}
	return top + ": " + strings.Join(strings.Fields(last), " ")
}
