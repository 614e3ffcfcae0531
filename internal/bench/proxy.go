package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// proxy is a balancer that runs as its own process.
type proxy struct {
	name string
	addr string
	dir  string    // working directory; empty if none
	cmd  *exec.Cmd // nil for a direct call
}

// findProxies returns an error with the install command if a balancer is missing.
func findProxies() error {
	for _, program := range []string{"nginx", "haproxy"} {
		if _, err := exec.LookPath(program); err != nil {
			return errors.New(program + " is not installed; run: apt-get install -y --no-install-recommends nginx-light haproxy")
		}
	}
	return nil
}

// startProxy starts a balancer and waits until it answers.
func startProxy(ctx context.Context, p *proxy, program string, args ...string) (*proxy, error) {
	p.cmd = exec.Command(program, args...) // ended by stop, not by a context
	var errs bytes.Buffer
	p.cmd.Stderr = &errs
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, p.addr); err != nil {
		return nil, errors.Join(p.stop(), fmt.Errorf("%s: %w: %s", p.name, err, errs.String()))
	}
	return p, nil
}

// awaitReady waits up to ten seconds until addr answers.
func awaitReady(ctx context.Context, addr string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if resp, err := http.Get("http://" + addr + "/readyz"); err == nil {
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

// cpu returns the CPU time of the process and its children.
func (p *proxy) cpu() (sum time.Duration, err error) {
	if p.cmd == nil {
		return 0, nil
	}
	pid := p.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for _, child := range append(strings.Fields(string(text)), strconv.Itoa(pid)) {
		id, err := strconv.Atoi(child)
		if err != nil {
			return 0, err
		}
		used, err := cpuOf(id)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
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

// startNginx configures the algorithm of the gateway: two random servers, the one with fewer connections, keep-alive.
func startNginx(ctx context.Context, floors []string) (*proxy, error) {
	p, path, err := newProxy("nginx", "nginx.conf", func(addr, dir string) string {
		return fmt.Sprintf(`daemon off;
worker_processes 2;
worker_rlimit_nofile 16384;
pid %[1]s/pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 1000000000;
  upstream nodes {
    zone nodes 64k;
    random two least_conn;
    server %[2]s;
    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen %[3]s reuseport backlog=4096;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`, dir, strings.Join(floors, "; server "), addr)
	})
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, p, "nginx", "-p", p.dir, "-c", path)
}

// startHAProxy configures the same algorithm.
func startHAProxy(ctx context.Context, floors []string) (*proxy, error) {
	p, path, err := newProxy("HAProxy", "haproxy.cfg", func(addr, _ string) string {
		servers := ""
		for i, floor := range floors {
			servers += fmt.Sprintf("  server n%d %s check\n", i, floor)
		}
		return fmt.Sprintf(`global
  nbthread 2
  maxconn 8000
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
frontend in
  bind %s
  default_backend nodes
backend nodes
  balance random(2)
  option httpchk GET /readyz
%s`, addr, servers)
	})
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, p, "haproxy", "-db", "-f", path)
}
