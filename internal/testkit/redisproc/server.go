// Package redisproc runs real redis-server processes for tests and tools: a single server or a Redis Cluster, on free
// loopback ports and in a given directory. It kills, pauses and restarts them by process id and never signals a process
// that it did not start. The kernel ends the servers when their owner ends.
//
// Servers hold their data in memory only, unless flags say otherwise, so a restarted server is empty. A node of a
// cluster keeps its cluster configuration.
//
// Concurrency: a Server or a Cluster is not safe for concurrent use.
package redisproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// ErrMissing means that redis-server is not installed; its text has the install command.
var ErrMissing = errors.New("redis-server is not installed; run: sudo apt-get install -y --no-install-recommends redis-server")

// errTaken means that another process took the port between its selection and the start of the server.
var errTaken = errors.New("the port is taken")

// tries bounds the attempts with different ports.
const tries = 20

// Server is a redis-server process.
type Server struct {
	Addr string // host:port for clients
	Dir  string // directory of its files, used by no other server

	args   []string
	cmd    *exec.Cmd
	log    *nodeproc.Output
	exited chan struct{} // closed when the child has ended
}

// StartSingle starts a single server and waits until it answers or ctx ends. flags are command-line arguments of
// redis-server.
func StartSingle(ctx context.Context, dir string, flags ...string) (*Server, error) {
	return start(ctx, dir, func(ports []int) []string { return flags }, 1)
}

// start starts a server on free ports, the first for clients. If a port was taken in the meantime, it tries others.
func start(ctx context.Context, dir string, flags func(ports []int) []string, ports int) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for range tries {
		var free []int
		if free, err = freePorts(ports); err != nil {
			return nil, err
		}
		s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(free[0]), Dir: dir}
		s.args = append([]string{
			"--port", strconv.Itoa(free[0]), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
			"--daemonize", "no", "--logfile", "",
		}, flags(free)...)
		if err = s.launch(ctx); err == nil {
			return s, nil
		}
		if !errors.Is(err, errTaken) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("start redis-server: %w, %d times in a row", err, tries)
}

// launch starts the child and waits until it answers; one that does not is ended.
func (s *Server) launch(ctx context.Context) error {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return ErrMissing
	}
	s.log, s.exited = &nodeproc.Output{}, make(chan struct{})
	s.cmd = exec.Command(binary, s.args...) // ended by Kill or Stop, not by a context
	s.cmd.Stdout = s.log
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = endWithOwner()
	started := make(chan error)
	go s.own(started) // ends with the process
	if err := <-started; err != nil {
		return err
	}
	if err := s.awaitAnswer(ctx); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// own locks its OS thread until the child has ended: the kernel ends the child when the thread that started it ends.
func (s *Server) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	err := s.cmd.Start()
	started <- err
	if err == nil {
		_ = s.cmd.Wait() // the code is in ProcessState
	}
}

func (s *Server) awaitAnswer(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.answers(ctx) {
		select {
		case <-s.exited:
			if strings.Contains(s.Log(), "Address already in use") {
				return errTaken
			}
			return fmt.Errorf("redis-server ended: %s %s", s.cmd.ProcessState, strings.TrimSpace(s.Log()))
		case <-ctx.Done():
			return fmt.Errorf("redis-server on %s does not answer: %w", s.Addr, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// answers reports whether the server on the port is this one: another process may have taken the port.
func (s *Server) answers(ctx context.Context) bool {
	info, err := s.text(ctx, "INFO", "server")
	return err == nil && strings.Contains(info, "process_id:"+strconv.Itoa(s.PID())+"\r\n") && s.loaded(ctx)
}

// loaded reports whether the server has loaded its files.
func (s *Server) loaded(ctx context.Context) bool {
	_, err := s.Do(ctx, "PING")
	return err == nil
}

// URL returns the value for --redis-url.
func (s *Server) URL() string { return "redis://" + s.Addr }

// PID returns the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log returns the output since the last start.
func (s *Server) Log() string { return s.log.String() }

// Exited returns a channel that is closed when the process has ended; a restart creates a new one.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Kill kills the process and waits for its end. It returns nil if the process has ended already.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop shuts the process down and waits for its end; an exit code other than 0 is an error. A paused process does not
// react.
func (s *Server) Stop() error {
	if err := s.end(syscall.SIGTERM); err != nil {
		return err
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("redis-server ended with code %d: %s", code, s.Log())
	}
	return nil
}

func (s *Server) end(sig syscall.Signal) error {
	if s.cmd.Process == nil {
		return nil // the last restart failed before it started a process
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s to redis-server: %w", sig, err)
	}
	<-s.exited
	return nil
}

// Pause stops the process until Resume: its connections stay open and get no answers.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

// signal returns an error if the process has ended.
func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s to redis-server: %w", sig, err)
	}
	return nil
}

// Restart starts the server again on the same port and in the same directory, and waits until it answers. It first kills
// a running process.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	for range tries { // another process that searches for a free port may hold it briefly
		if err := s.launch(ctx); !errors.Is(err, errTaken) {
			return err
		}
	}
	return fmt.Errorf("restart redis-server on %s: %w", s.Addr, errTaken)
}

// Flush deletes all keys.
func (s *Server) Flush(ctx context.Context) error {
	_, err := s.Do(ctx, "FLUSHALL", "SYNC")
	return err
}
