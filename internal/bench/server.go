package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// server is a node under measurement, with the credentials of its first business.
type server struct {
	node    *nodeproc.Node
	dir     string
	addr    string
	secrets nodeproc.Secrets
}

// startServer starts a node on an empty data directory.
func startServer(ctx context.Context, binary string, flags []string) (*server, error) {
	dir, err := os.MkdirTemp("", "esh3ar-bench-*")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	if s.node, err = nodeproc.Start(ctx, nodeproc.Config{Binary: binary, DataDir: dir, Flags: append([]string{"--log-level", "error"}, flags...)}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.addr = strings.TrimPrefix(s.node.URL, "http://")
	// Only the first node of a cluster creates credentials.
	if s.secrets, err = nodeproc.ReadSecrets(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) close() error {
	return errors.Join(s.node.Stop(), os.RemoveAll(s.dir))
}

// floorServer is the bare handler in a process of its own.
type floorServer struct {
	addr string
	cmd  *exec.Cmd
}

func startFloor(ctx context.Context, o *Options) (*floorServer, error) {
	addr, err := nodeproc.FreePort()
	if err != nil {
		return nil, err
	}
	f := &floorServer{addr: addr, cmd: exec.Command(o.Binary, "bench", "--floor-listen", addr)}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.close())
		case <-tick.C:
		}
		if resp, err := http.Get("http://" + addr + "/readyz"); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // lets the client reuse the connection
			resp.Body.Close()
			return f, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("the bare handler does not answer on %s", addr), f.close())
}

func (f *floorServer) close() error {
	if err := f.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = f.cmd.Wait() // it was killed
	return nil
}
