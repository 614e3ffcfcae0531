package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsOfTheDocsExist: what a page tells an operator to look at is a name, or the beginning of names, of the program.
func TestMetricsOfTheDocsExist(t *testing.T) {
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
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`esh3ar(_[a-z]+)+(_…)?`).FindAllString(string(text), -1) {
			found++
			name, beginning := strings.CutSuffix(m, "_…")
			if !beginning {
				name += `"`
			}
			if !strings.Contains(source.String(), `"`+name) {
				t.Errorf("%s: no metric is called %s", page, m)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d names in the pages", found)
	}
}
