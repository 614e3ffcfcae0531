// Package pgproc runs a real PostgreSQL for tests and tools: its own database cluster in its own directory, on a free
// loopback port. It signals processes by id and never touches a server that it did not start.
//
// Concurrency: a Server is not safe for concurrent use.
package pgproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// Config configures a server. The zero value is valid.
type Config struct {
	Settings map[string]string // additional settings of postgresql.conf
	Keep     bool              // keep the directory after Stop
}

// Server is a running PostgreSQL.
type Server struct {
	Addr   string // host:port
	Output *nodeproc.Output

	config Config
	dir    string
	as     *account
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start creates a database cluster, starts its server and waits until it accepts connections.
func Start(ctx context.Context, c Config) (*Server, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := as.makeDir()
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, dir: dir, as: as, Output: &nodeproc.Output{}}
	if err := s.initialise(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if s.Addr, err = nodeproc.FreePort(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// URL returns the connection URL of a database.
func (s *Server) URL(database string) string {
	return "postgres://postgres@" + s.Addr + "/" + database + "?sslmode=disable"
}

// Dir returns the data directory.
func (s *Server) Dir() string { return s.dir }

// PID returns the process id of the postmaster.
func (s *Server) PID() int { return s.cmd.Process.Pid }

func (s *Server) initialise(ctx context.Context) error {
	initdb, err := find("initdb")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, initdb, "-D", s.dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	s.as.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// Restart starts a stopped or killed server on the same port and data.
func (s *Server) Restart(ctx context.Context) error {
	for {
		err := s.launch(ctx)
		// After a kill -9, backends of the previous run may still hold the shared memory for a moment.
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "shared memory block") {
			return err
		}
	}
}

func (s *Server) launch(ctx context.Context) error {
	postgres, err := find("postgres")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	settings := map[string]string{
		"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200", "log_min_messages": "warning", "autovacuum_naptime": "5s",
	}
	for name, value := range s.config.Settings {
		settings[name] = value
	}
	args := []string{"-D", s.dir}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	s.cmd = exec.Command(postgres, args...) // ended by Kill or Stop, not by a context
	s.cmd.Stdout, s.cmd.Stderr = s.Output, s.Output
	s.as.apply(s.cmd)
	endWithOwner(s.cmd.SysProcAttr)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) { // ends with the process
		_ = cmd.Wait() // the code is in ProcessState
		close(exited)
	}(s.cmd)
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// awaitReady dials until the server accepts the superuser; during recovery it answers with an error.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("postgres ended: %s: %s", s.cmd.ProcessState, tail(s.Output.String()))
		case <-ctx.Done():
			return fmt.Errorf("postgres is not ready: %w: %s", context.Cause(ctx), tail(s.Output.String()))
		case <-tick.C:
		}
		if s.accepts(ctx) {
			return nil
		}
	}
}

// tail returns the end of a log.
func tail(text string) string { return text[max(0, len(text)-2000):] }

// Exec runs SQL in a database as the superuser.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	program, err := find("psql")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-v", "ON_ERROR_STOP=1", "-q", "-d", s.URL(database), "-c", sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, tail(string(out)))
	}
	return nil
}

// Stop does a fast shutdown and deletes the directory.
func (s *Server) Stop() error {
	_ = s.Resume() // a paused server does not handle signals
	if err := s.end(syscall.SIGINT); err != nil {
		return err
	}
	if s.config.Keep {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Kill kills the server with all its processes.
func (s *Server) Kill() error {
	for _, pid := range s.family() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // may have ended meanwhile
	}
	return s.end(syscall.SIGKILL)
}

func (s *Server) end(signal syscall.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	return nil
}

// Pause stops all processes of the server until Resume.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume continues a paused server.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	for _, pid := range s.family() {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s to postgres: %w", signal, err)
		}
	}
	return nil
}

// family returns the process ids of the postmaster and its children. Each child is a session leader, so a signal to the
// process group would not reach it.
func (s *Server) family() []int {
	select {
	case <-s.exited:
		return nil
	default:
	}
	pids := []int{s.PID()}
	text, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(s.PID()), "task", fmt.Sprint(s.PID()), "children"))
	for field := range strings.FieldsSeq(string(text)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
