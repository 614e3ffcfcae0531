package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// proxy is a balancer or another peer that runs as its own process.
type proxy struct {
	name  string
	addr  string
	ready string    // path that answers 200 when the process is ready; empty: /readyz
	dir   string    // working directory; empty if none
	cmd   *exec.Cmd // nil for a direct call
}

// startProxy starts a balancer and waits until it answers.
func startProxy(ctx context.Context, p *proxy, program string, args ...string) (*proxy, error) {
	p.cmd = exec.Command(program, args...) // ended by stop, not by a context
	var errs bytes.Buffer
	p.cmd.Stderr = &errs
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := awaitPath(ctx, p.addr, cmp.Or(p.ready, "/readyz")); err != nil {
		return nil, errors.Join(p.stop(), fmt.Errorf("%s: %w: %s", p.name, err, errs.String()))
	}
	return p, nil
}

// awaitReady waits up to ten seconds until addr answers on /readyz.
func awaitReady(ctx context.Context, addr string) error { return awaitPath(ctx, addr, "/readyz") }

func awaitPath(ctx context.Context, addr, path string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if resp, err := http.Get("http://" + addr + path); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s did not become ready within ten seconds", addr)
}

func (p *proxy) stop() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // the exit code is not checked
	p.cmd = nil
	return errors.Join(err, os.RemoveAll(p.dir))
}

// cpuTime returns the CPU time of the process and its children; it is zero for a direct call.
func (p *proxy) cpuTime() (time.Duration, error) {
	if p.cmd == nil {
		return 0, nil
	}
	return cpuOfTree(p.cmd.Process.Pid)
}

// newProxy allocates a port and a directory with the configuration.
func newProxy(name, file string, config func(addr, dir string) string) (*proxy, string, error) {
	addr, err := nodeproc.FreePort()
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "esh3ar-bench-*")
	if err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, file)
	return &proxy{name: name, addr: addr, dir: dir}, path, os.WriteFile(path, []byte(config(addr, dir)), 0o600)
}
