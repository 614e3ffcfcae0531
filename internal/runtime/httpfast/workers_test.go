//go:build linux

package httpfast

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
)

// workersRunning counts the goroutines of workers, of all servers.
func workersRunning(t *testing.T) (n int) {
	t.Helper()
	var stacks strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Count(stacks.String(), "(*worker).run(")
}

func (p *workers) resting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestAConnectionThatWaitsHasNoWorker, nor anything of one: not before its first call, and not behind another. Not parallel: it
// counts goroutines.
func TestAConnectionThatWaitsHasNoWorker(t *testing.T) {
	r := newRig(t, http.HandlerFunc(mirror))
	for i := range 64 {
		c := r.dial()
		if i%2 == 0 {
			continue
		}
		text := post("/fast", strings.Repeat("x", 1000))
		send(t, c, text[:len(text)-500])
		send(t, c, text[len(text)-500:]) // it may be woken for each
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for r.open.Load() < 64 || !r.allRest() {
		runtime.Gosched()
	}
}

// allRest tells whether every worker rests, and looks at what each and each connection holds then.
func (r *rig) allRest() bool {
	r.t.Helper()
	idle := &r.server.workers
	idle.mu.Lock()
	defer idle.mu.Unlock() // until here nobody is woken
	if len(idle.idle) != workersRunning(r.t) {
		return false
	}
	for _, w := range idle.idle {
		if w.conn != nil || w.request.RemoteAddr != "" || w.request.Header != nil {
			r.t.Error("a worker that rests holds a connection's memory")
		}
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for c := range r.server.conns {
		if c.request.Header != nil || c.request.URL != nil || c.request.Body != nil {
			r.t.Error("a connection that waits holds a worker's memory")
		}
	}
	return true
}

// TestWorkersThatAreNotNeededEnd: as many as have calls at once are there, and few stay.
func TestWorkersThatAreNotNeededEnd(t *testing.T) {
	const callers = keepIdle + 50
	var begun sync.WaitGroup
	begun.Add(callers)
	goOn := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun.Done()
		<-goOn
		_, _ = io.WriteString(w, "well")
	}))
	conns := make([]net.Conn, callers)
	for i := range conns {
		conns[i] = r.dial()
		send(t, conns[i], get)
	}
	begun.Wait()
	if n := workersRunning(t); n < callers {
		t.Errorf("%d workers answer %d calls", n, callers)
	}
	close(goOn)
	for _, c := range conns {
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.body != "well" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for r.server.workers.resting() != keepIdle || workersRunning(t) != keepIdle {
		runtime.Gosched()
	}
}

// TestAPanicLeavesNothing: what a handler had written is not in the answer to the next call of the same worker.
func TestAPanicLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fast/panic" {
			w.Header().Set("X-Left", "over")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "left over")
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "well")
	}))
	ended, next := r.dial(), r.dial()
	send(t, ended, post("/fast/panic", "hello"))
	if _, err := answer(t, bufio.NewReader(ended)); err == nil {
		t.Error("a call whose handler has panicked was answered")
	}
	for r.server.workers.resting() == 0 {
		runtime.Gosched()
	}
	send(t, next, get)
	if a, err := answer(t, bufio.NewReader(next)); err != nil || a.status != http.StatusOK || a.body != "well" || a.header.Get("X-Left") != "" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestCallersHaveNothingOfEachOther: not even where a handler changes what it must not.
func TestCallersHaveNothingOfEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+r.URL.RawQuery+r.URL.Path)
		r.Header.Set("Authorization", "of another")
		r.URL.RawQuery, r.URL.Path = "of=another", "/fast"
	}))
	for range 3 {
		c := r.dial()
		send(t, c, get)
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.body != "/fast" {
			t.Errorf("%+v, %v", a, err)
		}
		for r.server.workers.resting() == 0 {
			runtime.Gosched()
		}
	}
}

// TestACallHasNothingOfTheOneBefore: what a handler has put into its request, as handlers do, is not in the next one's; neither where both
// came together, nor where one followed the other.
func TestACallHasNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s, %v, %q, %q, %v, %s", body, err, r.PathValue("id"), r.Header.Get("X-Left"), r.Form, r.Pattern)
		r.Body, r.Form, r.Pattern = http.MaxBytesReader(w, r.Body, 1), url.Values{"left": {"over"}}, "/left/{id}"
		r.SetPathValue("id", "left over")
		r.Header.Set("X-Left", "over")
	}))
	c := r.dial()
	reader := bufio.NewReader(c)
	for _, together := range []int{2, 1, 1} {
		send(t, c, strings.Repeat(post("/fast", "hello"), together))
		for range together {
			if a, err := answer(t, reader); err != nil || a.body != `hello, <nil>, "", "", map[], ` {
				t.Errorf("%+v, %v", a, err)
			}
		}
	}
}
