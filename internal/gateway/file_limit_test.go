package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
)

// fewFiles is the environment variable with the node's URL for the child process that runs the gateway.
const fewFiles = "ESH3AR_TEST_FEW_FILES"

// TestGateway_NoDescriptorsLeft_RefusesAndRecovers checks that a gateway without descriptors refuses calls and logs it once.
// Nodes stay up and calls in progress continue. With descriptors available again, it accepts connections and calls.
func TestGateway_NoDescriptorsLeft_RefusesAndRecovers(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(fewFiles); url != "" {
		beGatewayWithFewFiles(t, url)
		return
	}
	gate, inside := make(chan struct{}), make(chan struct{}, 1)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // each call wants a file
		if r.URL.Path == "/v1/held" {
			inside <- struct{}{}
			<-gate
		}
		says("n")(w, r)
	})
	addr, log := startGatewayWithFewFiles(t, n)
	first := dialRaw(t, addr)
	var held sync.WaitGroup
	held.Go(func() {
		if got := dialRaw(t, addr).call("GET", "/v1/held"); got != http.StatusAccepted {
			t.Errorf("call in progress: got %d, want 202", got)
		}
	})
	<-inside
	if got := first.call("POST", "/v1/messages"); got != http.StatusAccepted {
		t.Fatal(got)
	}
	var crowd []*rawCaller
	for range 2 * fewest { // the system takes them, the gateway cannot
		crowd = append(crowd, dialRaw(t, addr))
	}
	const ownFault, nodeFault = "cannot open connections", "node is out"
	eventually(t, func() bool {
		return strings.Contains(log.String(), ownFault) || strings.Contains(log.String(), nodeFault)
	}, log.String) // by a check
	const calls = 20
	for range calls {
		eventually(t, func() bool { return first.call("POST", "/v1/messages") == http.StatusServiceUnavailable }, log.String)
	}
	if text := log.String(); strings.Contains(text, nodeFault) || strings.Count(text, ownFault) >= calls {
		t.Error(text)
	}
	open()
	held.Wait()
	for _, c := range crowd {
		c.conn.Close()
	}
	eventually(t, func() bool { return first.call("POST", "/v1/messages") == http.StatusAccepted }, log.String)
	if got := dialRaw(t, addr).call("POST", "/v1/messages"); got != http.StatusAccepted {
		t.Errorf("a new connection: %d", got)
	}
}

// fewest is the limit of open files of the gateway.
const fewest = 48

// beGatewayWithFewFiles runs the gateway in the child process until its standard input ends.
func beGatewayWithFewFiles(t *testing.T, node string) {
	t.Helper()
	f := newFront(t, func(o *gateway.Options) {
		o.Nodes, o.Rules.Checks = []string{node}, 1
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	})
	f.awaitUp(1)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: fewest, Max: fewest}); err != nil {
		t.Fatal(err)
	}
	fmt.Println(f.Listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func startGatewayWithFewFiles(t *testing.T, n *node) (addr string, log *lockedText) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestGateway_NoDescriptorsLeft_RefusesAndRecovers$")
	child.Env = append(os.Environ(), fewFiles+"="+n.URL)
	log = &lockedText{}
	child.Stderr = log
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	t.Cleanup(func() {
		stdin.Close()
		rest, _ := io.ReadAll(out) // it ends with the process
		if err := child.Wait(); err != nil {
			t.Errorf("%v\n%s\n%s", err, rest, log)
		}
	})
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s %v\n%s", line, err, log)
	}
	return strings.TrimSpace(line), log
}

// lockedText collects the output of a process.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rawCaller makes all its calls over one connection.
type rawCaller struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t *testing.T, addr string) *rawCaller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		t.Fatal(err)
	}
	return &rawCaller{t, conn, bufio.NewReader(conn)}
}

// call makes a call and returns the status of the response.
func (c *rawCaller) call(method, path string) int {
	fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method, path)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode
}
