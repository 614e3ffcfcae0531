package esh3ar_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pages returns the Markdown files of the repository, by path, with their text. Blocks of code are left out if prose is set.
func pages(t *testing.T, prose bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if prose {
		block := regexp.MustCompile("(?ms)^```.*?^```$")
		for path, text := range found {
			found[path] = block.ReplaceAllString(text, "")
		}
	}
	return found
}

// anchorsOf returns the anchors of a page's headings, formed as GitHub forms them.
func anchorsOf(text string) (anchors []string) {
	for _, m := range regexp.MustCompile("(?m)^#+ (.+)$").FindAllStringSubmatch(text, -1) {
		var anchor strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			if r == ' ' {
				anchor.WriteByte('-')
			} else if r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) {
				anchor.WriteRune(r)
			}
		}
		anchors = append(anchors, anchor.String())
	}
	return anchors
}

// TestDocs_RelativeLinks_LeadToFilesAndHeadings follows every link between pages and files of the repository.
func TestDocs_RelativeLinks_LeadToFilesAndHeadings(t *testing.T) {
	t.Parallel()
	texts := pages(t, true)
	links := 0
	for path, text := range texts {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: got %v, want a file", path, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchorsOf(texts[target]), anchor) {
				t.Errorf("%s: link to %s: got no such heading, want one of %q", path, m[1], anchorsOf(texts[target]))
			}
		}
	}
	if links < 100 {
		t.Errorf("got %d links, want at least 100", links)
	}
}

// TestDocs_NamedTests_Exist looks up every test that a page names. A name that ends with … is the beginning of names.
func TestDocs_NamedTests_Exist(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)`).FindAllStringSubmatch(string(text), -1) {
			declared[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	isDeclared := func(name string) bool {
		if declared[name] {
			return true
		}
		for known := range declared { // a name may be the pattern of -run, or end with …
			if strings.HasPrefix(known, name) {
				return true
			}
		}
		return false
	}
	named := 0
	for path, text := range pages(t, false) {
		if path == "CHANGELOG.md" || path == "docs/signalr-conformance.md" { // history; written from a test run
			continue
		}
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(text, -1) {
			named++
			if !isDeclared(name) {
				t.Errorf("%s: got the test %s, want one that is declared", path, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("got %d names of tests, want at least 50", named)
	}
}

// TestDocs_BudgetsAndRequirements_AreDefined looks up every budget and requirement that a page cites in the legend.
func TestDocs_BudgetsAndRequirements_AreDefined(t *testing.T) {
	t.Parallel()
	texts := pages(t, true)
	legend := texts["docs/benchmarks.md"]
	cited := 0
	for path, text := range texts {
		if path == "CHANGELOG.md" || path == "docs/signalr-conformance.md" {
			continue
		}
		for _, name := range regexp.MustCompile(`\b(?:B[0-9]{1,2}|R[1-9]\.[0-9])\b`).FindAllString(text, -1) {
			cited++
			_, definitions, _ := strings.Cut(legend, "## Legend")
			if !strings.Contains(definitions, "\n| "+name+" | ") {
				t.Errorf("%s: %s has no row in the legend of docs/benchmarks.md", path, name)
			}
		}
	}
	if cited < 30 {
		t.Errorf("got %d citations, want at least 30", cited)
	}
}
