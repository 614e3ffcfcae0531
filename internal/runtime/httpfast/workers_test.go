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

// workersRunning returns the number of worker goroutines of all servers.
func workersRunning(t *testing.T) int {
	t.Helper()
	var stacks strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Count(stacks.String(), "(*worker).run(")
}

func (p *workers) parked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestConn_Idle_HoldsNoWorker checks idle connections before their first request and after one. It counts goroutines, so it is
// not parallel.
func TestConn_Idle_HoldsNoWorker(t *testing.T) {
	r := newFixture(t, http.HandlerFunc(echoRequest))
	for i := range 64 {
		c := r.dial()
		if i%2 == 0 {
			continue
		}
		text := post("/fast", strings.Repeat("x", 1000))
		send(t, c, text[:len(text)-500])
		send(t, c, text[len(text)-500:]) // each may wake the worker
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for r.open.Load() < 64 || !r.allParked() {
		runtime.Gosched()
	}
}

// allParked reports whether every worker is parked. If so, it checks that workers and connections hold no references to each
// other.
func (r *fixture) allParked() bool {
	r.t.Helper()
	idle := &r.server.workers
	idle.mu.Lock()
	defer idle.mu.Unlock() // no worker is dispatched meanwhile
	if len(idle.idle) != workersRunning(r.t) {
		return false
	}
	for _, w := range idle.idle {
		if w.conn != nil || w.request.RemoteAddr != "" || w.request.Header != nil {
			r.t.Error("a parked worker refers to a connection")
		}
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for c := range r.server.conns {
		if c.request.Header != nil || c.request.URL != nil || c.request.Body != nil {
			r.t.Error("an idle connection refers to a worker")
		}
	}
	return true
}

// TestWorkers_AfterLoad_ParkAtMostTheMaximum serves more requests at once than the maximum of parked workers.
func TestWorkers_AfterLoad_ParkAtMostTheMaximum(t *testing.T) {
	const callers = maxIdleWorkers + 50
	var begun sync.WaitGroup
	begun.Add(callers)
	goOn := make(chan struct{})
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
		t.Errorf("got %d workers for %d requests at once, want one each", n, callers)
	}
	close(goOn)
	for _, c := range conns {
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.body != "well" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for r.server.workers.parked() != maxIdleWorkers || workersRunning(t) != maxIdleWorkers {
		runtime.Gosched()
	}
}

// TestWorker_AfterPanic_ResponseIsClean checks that nothing that a panicking handler wrote is in the next response of the
// same worker.
func TestWorker_AfterPanic_ResponseIsClean(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		t.Error("got a response after a panic, want a closed connection")
	}
	for r.server.workers.parked() == 0 {
		runtime.Gosched()
	}
	send(t, next, get)
	if a, err := answer(t, bufio.NewReader(next)); err != nil || a.status != http.StatusOK || a.body != "well" || a.header.Get("X-Left") != "" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestWorker_HandlerChangesRequest_NextConnectionIsClean checks the next request on another connection.
func TestWorker_HandlerChangesRequest_NextConnectionIsClean(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		for r.server.workers.parked() == 0 {
			runtime.Gosched()
		}
	}
}

// TestWorker_HandlerChangesRequest_NextRequestIsClean checks the next request on the same connection, pipelined or not.
func TestWorker_HandlerChangesRequest_NextRequestIsClean(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s, %v, %q, %q, %v, %s", body, err, r.PathValue("id"), r.Header.Get("X-Left"), r.Form, r.Pattern)
		r.Body = http.MaxBytesReader(w, r.Body, 1)
		r.Form = url.Values{"left": {"over"}}
		r.Pattern = "/left/{id}"
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
