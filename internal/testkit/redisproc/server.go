// Package redisproc runs real redis-server processes for tests and instruments: one alone or a Redis Cluster, on free
// loopback ports and in a given folder. It kills, pauses and restarts them by their process ids, never touches a process
// that it did not start, and leaves none behind: the kernel ends them with their owner.
//
// What a server holds is in memory only, unless flags say otherwise, so that a restart comes back empty; a node of a
// cluster remembers its place in it.
//
// Concurrency: a Server or a Cluster is one owner's.
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

// ErrMissing means that the machine has no redis-server; its text says how to get one.
var ErrMissing = errors.New("redis-server is not installed; run: sudo apt-get install -y --no-install-recommends redis-server")

// errTaken means that somebody else took the port between our look and the server's start.
var errTaken = errors.New("the port is taken")

// tries bounds how often other ports are looked for.
const tries = 20

// Server is one redis-server.
type Server struct {
	Addr string // host:port of its clients
	Dir  string // where it keeps its files, and nobody else does

	args   []string
	cmd    *exec.Cmd
	log    *nodeproc.Output
	exited chan struct{} // closed when the child has ended
}

// StartSingle starts a server alone and waits until it answers, as long as ctx allows. The flags are those of
// redis-server, each word on its own.
func StartSingle(ctx context.Context, dir string, flags ...string) (*Server, error) {
	return start(ctx, dir, func(ports []int) []string { return flags }, 1)
}

// start takes free ports, the first for clients, and tries others when somebody was faster.
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
	s.cmd = exec.Command(binary, s.args...) // its end is ours to choose, not a context's
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = s.log, s.log, endWithOwner()
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

// own keeps its thread until the child has ended: the kernel takes the end of the thread that started it for the end of
// the owner.
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

// answers asks who is there: on a port that was taken it is somebody else.
func (s *Server) answers(ctx context.Context) bool {
	info, err := s.text(ctx, "INFO", "server")
	return err == nil && strings.Contains(info, "process_id:"+strconv.Itoa(s.PID())+"\r\n") && s.loaded(ctx)
}

// loaded tells whether it has read what it kept of its last life.
func (s *Server) loaded(ctx context.Context) bool {
	_, err := s.Do(ctx, "PING")
	return err == nil
}

// URL is what --redis-url takes.
func (s *Server) URL() string { return "redis://" + s.Addr }

// PID is the child's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what the child printed since it was started or restarted.
func (s *Server) Log() string { return s.log.String() }

// Exited is closed when the child has ended; a restart makes a new one.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Kill ends the child as a crash does, and waits for its end; one that has ended is no error.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop asks the child to end and waits for it; a code other than 0 is an error. A paused one does not hear it.
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
		return nil // a restart that came to nothing
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s to redis-server: %w", sig, err)
	}
	<-s.exited
	return nil
}

// Pause stops the child as it is until Resume: its connections stay and nothing answers on them.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume lets a paused child go on.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

// signal fails for a child that has ended.
func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s to redis-server: %w", sig, err)
	}
	return nil
}

// Restart starts the child anew on the same port and in the same folder, and waits until it answers; one that still runs
// is killed first.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	for range tries { // somebody who looks for a free port holds it for a moment
		if err := s.launch(ctx); !errors.Is(err, errTaken) {
			return err
		}
	}
	return fmt.Errorf("restart redis-server on %s: %w", s.Addr, errTaken)
}

// Flush deletes everything that the server holds.
func (s *Server) Flush(ctx context.Context) error {
	_, err := s.Do(ctx, "FLUSHALL", "SYNC")
	return err
}
