package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProgress_Terminal_RewritesLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, clock := shownProgress(&out, true)
	p.add(100) // too soon to draw
	*clock = clock.Add(barEvery)
	p.add(100)
	p.add(300)
	want := "\r\x1b[K[######" + strings.Repeat(".", 24) + "] replayed 200 of 1000"
	if out.String() != want {
		t.Errorf("drawn %q, want %q", out.String(), want)
	}
	out.Reset()
	p.add(600) // more than were counted
	want = "\r\x1b[K[" + strings.Repeat("#", 30) + "] replayed 1100 of 1100\n"
	if done := p.end(); done != 1100 || out.String() != want {
		t.Errorf("%d, drawn %q, want %q", done, out.String(), want)
	}
}

func TestProgress_File_PrintsLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p, clock := shownProgress(&out, false)
	for range 25 {
		*clock = clock.Add(time.Second)
		p.add(1)
	}
	if p.end(); out.String() != "replayed 10 of 1000\nreplayed 20 of 1000\n" {
		t.Errorf("written %q", out.String())
	}
	empty := newProgress(&out, "x", 0)
	empty.bar = true
	empty.end() // divides by no total
}

func shownProgress(out *bytes.Buffer, bar bool) (*progress, *time.Time) {
	clock := time.Unix(1000, 0)
	p := newProgress(out, "replayed", 1000)
	p.bar = bar
	p.now = func() time.Time { return clock }
	p.mu.shown = clock
	return p, &clock
}

func TestIsTerminal_File_IsFalse(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) || isTerminal(&bytes.Buffer{}) {
		t.Error("a file is taken for a terminal")
	}
}
