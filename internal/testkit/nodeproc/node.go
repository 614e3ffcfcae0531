// Package nodeproc runs `esh3ar serve`, or another command of it that serves, as a child process for tests and instruments:
// starts it on a free port, waits until it is ready, stops or kills it by its process id, and keeps what it printed. It
// never touches a process that it did not start.
//
// Concurrency: a Node is one owner's.
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

// Config says what to start.
type Config struct {
	Binary  string       // of esh3ar
	Command string       // empty: serve
	DataDir string       // where a node keeps its data; empty for a gateway
	Listen  string       // empty: a free loopback port
	Flags   []string     // of serve, besides those
	Until   string       // the path that is answered 200 when it has started; default /readyz
	Files   int          // limit of open files; zero: this process's
	Client  *http.Client // for a process that speaks TLS; nil: plain HTTP
}

// recovered counts the stacks of panics in what nodes print, of all nodes of this process: a test that ends well although a node had to
// recover is not well.
var recovered atomic.Int64

// Recovered returns how many panics the processes that Start started have printed the stack of, whether they went on or ended. The first
// panic of each part of a node or gateway is logged with its stack.
func Recovered() int { return int(recovered.Load()) }

// Secrets are what the node's first start made.
type Secrets struct {
	AdminToken string `json:"adminToken"`
	BusinessID string `json:"businessId"`
	APIKey     string `json:"apiKey"`

	ClusterKeys []string `json:"-"` // public; not in the file: Node.ClusterKeys asks for them
}

// Node is a running child.
type Node struct {
	URL    string
	Stdout *Output
	Stderr *Output

	client *http.Client
	cmd    *exec.Cmd
	exited chan struct{}
}

// Output is what a process printed, readable while it runs.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// signOfPanic begins a stack, also one that is quoted in a line of the log.
var signOfPanic = regexp.MustCompile(`goroutine [0-9]+ \[running`)

// longestSign is how many bytes a sign has at most, with the largest number of a goroutine.
const longestSign = 48

// Write takes what the process prints.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := max(0, o.text.Len()-longestSign) // a sign may come in two parts
	o.text.Write(p)
	recovered.Add(int64(len(signOfPanic.FindAllIndex(o.text.Bytes()[seen:], -1)) - len(signOfPanic.FindAllIndex(o.text.Bytes()[seen:o.text.Len()-len(p)], -1))))
	return len(p), nil
}

// String is all of it so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start starts a node and waits until it is ready, as long as ctx allows.
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
	n.cmd = c.command() // its end is ours to choose: by Stop or Kill, not by a context
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
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// PID is the child's process id.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Exited is closed when the child has ended.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// ExitCode is the child's, once it has ended.
func (n *Node) ExitCode() int { return n.cmd.ProcessState.ExitCode() }

// Kill ends the child as a crash does, and waits for its end.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL) }

// Stop asks the child to drain and waits for its end; a code other than 0 is an error.
func (n *Node) Stop() error {
	if err := n.end(syscall.SIGTERM); err != nil {
		return err
	}
	if code := n.ExitCode(); code != 0 {
		return fmt.Errorf("the node ended with code %d: %s", code, n.Stderr)
	}
	return nil
}

// Pause stops the child as it is, in the middle of whatever it does, until Resume. A paused child can be killed; it
// does not hear Stop before it is resumed.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets a paused child go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

// signal fails for a child that has ended.
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

// ClusterKeys asks the node for the public keys of its cluster, which a gateway needs.
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
		return nil, fmt.Errorf("ask for the keys of the cluster: %s: %w", resp.Status, err)
	}
	return answer.Keys, nil
}

// ReadSecrets reads what the first start left in the data directory.
func ReadSecrets(dataDir string) (s Secrets, err error) {
	text, err := os.ReadFile(filepath.Join(dataDir, "bootstrap.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}
