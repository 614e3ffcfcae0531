package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress shows the progress of a long command: a bar that is redrawn on a terminal, or a line at intervals if the output is a file.
type progress struct {
	w     io.Writer
	bar   bool
	now   func() time.Time
	verb  string // past participle of the action, such as "replayed"
	total int    // number of items counted in advance, which may grow during the run; zero: unknown

	mu struct {
		sync.Mutex
		done  int
		shown time.Time
	}
}

const (
	barEvery  = 100 * time.Millisecond // smooth to the eye
	lineEvery = 10 * time.Second
	barWidth  = 30
)

func newProgress(w io.Writer, verb string, total int) *progress {
	p := &progress{w: w, bar: isTerminal(w), now: time.Now, verb: verb, total: total}
	p.mu.shown = p.now()
	return p
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// add adds n to the count.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.done += n
	every := lineEvery
	if p.bar {
		every = barEvery
	}
	if now := p.now(); now.Sub(p.mu.shown) >= every {
		p.mu.shown = now
		p.showLocked()
	}
}

// end shows the final count, ends the line of the bar, and returns the count.
func (p *progress) end() (done int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar || p.total == 0 { // a count without a total is shown at least once
		p.showLocked()
	}
	if p.bar {
		fmt.Fprintln(p.w)
	}
	return p.mu.done
}

func (p *progress) showLocked() {
	done, total := p.mu.done, max(p.total, p.mu.done)
	if p.total == 0 {
		p.showCountLocked()
		return
	}
	if !p.bar {
		fmt.Fprintf(p.w, "%s %d of %d\n", p.verb, done, total)
		return
	}
	full := 0
	if total > 0 {
		full = barWidth * done / total
	}
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s %d of %d", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.verb, done, total)
}

// showCountLocked shows the count alone, because the total is unknown. The caller holds the lock.
func (p *progress) showCountLocked() {
	if p.bar {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%s %d rows", p.verb, p.mu.done)
	if !p.bar {
		fmt.Fprintln(p.w)
	}
}
