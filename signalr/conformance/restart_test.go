package conformance

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/signalr"
)

var (
	small     = flag.Int("small", 500, "small clients in the restart test; make restart takes 9,900")
	microsoft = flag.Int("microsoft", 10, "clients of Microsoft's in the restart test; make restart takes 100")
)

// restartable is a server on an address of its own, as a process would be.
type restartable struct {
	server *signalr.Server
	web    *http.Server
	served chan error
	ran    chan error
}

func startNode(t *testing.T, addr string, opts signalr.Options) (*restartable, string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	n := &restartable{
		server: signalr.NewServer(testHub(), opts),
		web:    &http.Server{Handler: mux, ReadHeaderTimeout: patience},
		served: make(chan error, 1), ran: make(chan error, 1),
	}
	n.server.Mount(mux, "/hub")
	go func() { n.served <- n.web.Serve(ln) }()
	go func() { n.ran <- n.server.Run(context.Background()) }()
	return n, ln.Addr().String()
}

// stop is what a process does at SIGTERM: the hub drains while the listener still says 503, then the listener closes.
func (n *restartable) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := await(t, n.ran, "end of Run"); err != nil {
		t.Errorf("run: %v", err)
	}
	if err := n.web.Shutdown(ctx); err != nil {
		t.Errorf("web shutdown: %v", err)
	}
	await(t, n.served, "end of Serve")
}

// TestRestart ends a node under many clients and starts it again: all are closed in a paced way, all come back, and of
// the node that was nothing is left.
func TestRestart(t *testing.T) {
	needsClients(t)
	t.Run("item150 point4 paced close, return, nothing left over", restart)
}

func restart(t *testing.T) {
	all := *small + *microsoft
	// The whole drain takes half a second at least, or the pace of 2,000 a second that is the default.
	rate := min(2*all, 2000)
	opts := signalr.Options{Limits: signalr.Limits{DrainRate: rate}}
	goroutines := goleak.IgnoreCurrent()
	before := heap()

	node, addr := startNode(t, "127.0.0.1:0", opts)
	smallOnes := launch(t, nil, executable(t), []string{swarmEnv + "=" + addr + " " + strconv.Itoa(*small)})
	theirs := launch(t, []string{"swarm.mjs", "http://" + addr, strconv.Itoa(*microsoft)}, "node", nil)
	say(t, "ready", smallOnes, theirs)
	if n := node.server.Stats().Active; n != all {
		t.Errorf("%d connections are open", n)
	}
	full := heap()

	began := time.Now()
	node.stop(t)
	// Slower is no fault: this is about not being all at once.
	if took, least := time.Since(began), time.Duration(all-rate/10)*time.Second/time.Duration(rate); took < least {
		t.Errorf("closed all within %v, a pace of %d/s takes %v", took, rate, least)
	}
	if s := node.server.Stats(); s.EndedShutdown != int64(all) || s.Active != 0 {
		t.Errorf("%d of %d ended by the shutdown, %d are open", s.EndedShutdown, all, s.Active)
	}
	node, _ = startNode(t, addr, opts)
	say(t, "back", smallOnes, theirs)
	if n := node.server.Stats().Active; n != all {
		t.Errorf("%d connections came back", n)
	}
	for _, c := range []*command{smallOnes, theirs} {
		if err := c.end(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the end of all connections", func() bool { return node.server.Stats().Active == 0 })
	node.stop(t)
	node = nil

	if err := goleak.Find(goroutines); err != nil {
		t.Error(err)
	}
	after := heap()
	t.Logf("heap: %d KiB before, %d KiB with %d connections, %d KiB after two nodes", before>>10, full>>10, all, after>>10)
	if left := after - before; left > 1<<20 {
		t.Errorf("%d KiB are left of two nodes", left>>10)
	}
}

func say(t *testing.T, want string, commands ...*command) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for _, c := range commands {
		if err := c.says(ctx, want); err != nil {
			t.Fatal(err)
		}
	}
}

// launch starts a program of clients.
func launch(t *testing.T, args []string, program string, env []string) *command {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "clients"
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10) // a program says three at most
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	ended := false
	c := &command{lines: lines}
	c.end = func() error {
		ended = true
		_ = in.Close() // a program that has gone says so by Wait
		<-read
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		return nil
	}
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill() // the test has failed already
			_ = c.end()
		}
	})
	return c
}

func executable(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// heap returns the bytes in use once the garbage has gone: twice, as pools hand over what they hold at the first. Stacks do
// not count: the runtime keeps them for later, and goroutines are counted apart.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
