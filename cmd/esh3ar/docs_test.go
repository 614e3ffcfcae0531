package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// docPages returns the paths of the README, the pages of docs and the decisions.
func docPages(t *testing.T) []string {
	t.Helper()
	pages := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("pages %s: got %d and %v, want some", pattern, len(found), err)
		}
		pages = append(pages, found...)
	}
	return pages
}

// TestDocs_Metrics_Exist looks up every metric that a page names in the source of the collectors. A name that ends with … is the
// beginning of names.
func TestDocs_Metrics_Exist(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	files, err := filepath.Glob("../../internal/node/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	found := 0
	for _, page := range docPages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`esh3ar(_[a-z]+)+(_…)?`).FindAllString(string(text), -1) {
			found++
			name, prefix := strings.CutSuffix(m, "_…")
			if !prefix {
				name += `"`
			}
			if !strings.Contains(source.String(), `"`+name) {
				t.Errorf("%s: got the metric %s, want one of the program", page, m)
			}
		}
	}
	if found < 30 {
		t.Errorf("got %d names of metrics, want at least 30", found)
	}
}

// flagsOf returns the flags of a command and of the commands below it, with their dashes.
func flagsOf(node *kong.Node) (flags []string) {
	for _, flag := range node.Flags {
		flags = append(flags, "--"+flag.Name)
	}
	for _, child := range node.Children {
		flags = append(flags, flagsOf(child)...)
	}
	return flags
}

// TestDocs_Flags_Exist looks up every flag that a page names.
func TestDocs_Flags_Exist(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{}, kong.Name("esh3ar"))
	if err != nil {
		t.Fatal(err)
	}
	known := append(flagsOf(parser.Model.Node), "--version",
		"--pwprompt", "--owner", "--template", "--encoding", // of createuser and createdb
		"--extends", "--fail-severity") // of redocly and spectral, which check the OpenAPI document
	found := 0
	for _, page := range docPages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:^|[^\w-])(--[a-z][a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
			found++
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s: got the flag %s, want one of the program", page, m[1])
			}
		}
	}
	if found < 100 {
		t.Errorf("got %d names of flags, want at least 100", found)
	}
}
