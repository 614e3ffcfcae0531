// Package nodeproc runs `esh3ar serve`, or another serving command, as a child process for tests and tools. It starts
// the process on a free port, waits until it is ready, stops or kills it by process id, and stores its output. It never
// signals a process that it did not start.
//
// Concurrency: a Node is not safe for concurrent use.
package nodeproc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config configures a node.
type Config struct {
	Binary  string       // path of esh3ar
	Command string       // empty: serve
	DataDir string       // data directory; empty for a gateway
	Listen  string       // empty: a free loopback port
	Flags   []string     // additional flags
	Until   string       // path that answers 200 when the process is ready; default /readyz
	Files   int          // limit of open files; zero: this process's
	Client  *http.Client // client for a process that serves TLS; nil: plain HTTP
}

// recovered counts the panic stacks in the output of all nodes of this process: a test in which a node had to recover
// from a panic must not pass.
var recovered atomic.Int64

// Recovered returns the number of panic stacks that started processes have printed, whether they recovered or ended. The
// first panic of each component of a node or gateway is logged with its stack.
func Recovered() int { return int(recovered.Load()) }

// Secrets holds the credentials that the first start created.
type Secrets struct {
	AdminToken string `json:"adminToken"`
	BusinessID string `json:"businessId"`
	APIKey     string `json:"apiKey"`

	ClusterKeys []string `json:"-"` // public; not in the file: Node.ClusterKeys asks for them
}

// Node is a running process.
type Node struct {
	URL    string
	Stdout *Output
	Stderr *Output

	client *http.Client
	cmd    *exec.Cmd
	exited chan struct{}
}

// Output is the output of a process. It can be read while the process runs.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// signOfPanic begins a stack, also one that is quoted in a line of the log.
var signOfPanic = regexp.MustCompile(`goroutine [0-9]+ \[running`)

// longestSign is how many bytes a sign has at most, with the largest number of a goroutine.
const longestSign = 48

// Write appends output of the process.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := max(0, o.text.Len()-longestSign) // a stack header may be split over two writes
	o.text.Write(p)
	recovered.Add(int64(len(signOfPanic.FindAllIndex(o.text.Bytes()[seen:], -1)) - len(signOfPanic.FindAllIndex(o.text.Bytes()[seen:o.text.Len()-len(p)], -1))))
	return len(p), nil
}

// String returns the output so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start starts a node and waits until it is ready or ctx ends.
func Start(ctx context.Context, c Config) (*Node, error) {
	if c.Listen == "" {
		var err error
		if c.Listen, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if c.Until == "" {
		c.Until = "/readyz"
	}
	n := &Node{URL: "http://" + c.Listen, Stdout: &Output{}, Stderr: &Output{}, client: http.DefaultClient, exited: make(chan struct{})}
	if c.Client != nil {
		n.URL, n.client = "https://"+c.Listen, c.Client
	}
	n.cmd = c.command() // ended by Stop or Kill, not by a context
	n.cmd.Stdout, n.cmd.Stderr = n.Stdout, n.Stderr
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		_ = n.cmd.Wait() // the code is in ProcessState
		close(n.exited)
	}()
	if err := n.awaitAnswer(ctx, c.Until); err != nil {
		return nil, errors.Join(err, n.Kill())
	}
	return n, nil
}

// command is the child; a shell lowers its limit of open files and becomes it.
func (c *Config) command() *exec.Cmd {
	if c.Files == 0 {
		return exec.Command(c.Binary, c.args()...)
	}
	script := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, c.Files)
	return exec.Command("/bin/sh", append([]string{"-c", script, c.Binary}, c.args()...)...)
}

func (c *Config) args() []string {
	args := []string{"serve"}
	if c.Command != "" {
		args[0] = c.Command
	}
	args = append(args, "--listen", c.Listen)
	if c.DataDir != "" {
		args = append(args, "--data-dir", c.DataDir)
	}
	return append(args, c.Flags...)
}

func (n *Node) awaitAnswer(ctx context.Context, path string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.exited:
			return fmt.Errorf("the node ended: %s %s", n.cmd.ProcessState, strings.TrimSpace(n.Stderr.String()))
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w %s", context.Cause(ctx), n.Stderr)
		case <-tick.C:
		}
		if n.answers(ctx, path) {
			return nil
		}
	}
}

func (n *Node) answers(ctx context.Context, path string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+path, nil)
	if err != nil {
		return false
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body) // lets the client reuse the connection
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// PID returns the process id.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// ExitCode returns the exit code of an ended process.
func (n *Node) ExitCode() int { return n.cmd.ProcessState.ExitCode() }

// Kill kills the process and waits for its end.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL) }

// Stop asks the process to drain and waits for its end; an exit code other than 0 is an error.
func (n *Node) Stop() error {
	if err := n.end(syscall.SIGTERM); err != nil {
		return err
	}
	if code := n.ExitCode(); code != 0 {
		return fmt.Errorf("the node ended with code %d: %s", code, n.Stderr)
	}
	return nil
}

// Pause stops the process until Resume. A paused process can be killed, but handles Stop only after Resume.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

// signal returns an error if the process has ended.
func (n *Node) signal(s syscall.Signal) error {
	if err := n.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s to the node: %w", s, err)
	}
	return nil
}

func (n *Node) end(s syscall.Signal) error {
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-n.exited
	return nil
}

// ClusterKeys returns the public keys of the node's cluster, which a gateway needs.
func (n *Node) ClusterKeys(ctx context.Context) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/.well-known/esh3ar-cluster", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Keys []string `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("get the cluster keys: %s: %w", resp.Status, err)
	}
	return answer.Keys, nil
}

// ReadSecrets reads the credentials file of the data directory.
func ReadSecrets(dataDir string) (Secrets, error) {
	var s Secrets
	text, err := os.ReadFile(filepath.Join(dataDir, "bootstrap.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}
