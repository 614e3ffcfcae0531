package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// patience bounds the wait for a condition that must become true; it is not a performance limit.
const patience = time.Minute

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("e2e: the quick loop has no outside parts")
		os.Exit(0)
	}
	os.Unsetenv("JOURNAL_STREAM") // the runner's; nodes print to the tests
	os.Exit(withBinary(m))
}

func withBinary(m *testing.M) int {
	if err := outsideParts(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "esh3ar-e2e-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "esh3ar")
	build := exec.Command("go", "build", "-o", binary, "../cmd/esh3ar")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if n := nodeproc.Recovered(); n > 0 {
		fmt.Fprintf(os.Stderr, "e2e: nodes and gateways have printed the stacks of %d panics\n", n)
		return 1
	}
	return code
}

// outsideParts returns an error with the install command if a required program is missing.
func outsideParts() error {
	for _, program := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed; run `make deps`", program)
		}
	}
	if _, err := os.Stat("node_modules/@microsoft/signalr/package.json"); err != nil {
		return fmt.Errorf("@microsoft/signalr is not installed; run `make deps`")
	}
	return nil
}

// platform is a node under test with the credentials of its first business.
type platform struct {
	t       *testing.T
	node    *nodeproc.Node
	dataDir string
	listen  string
	flags   []string
	secrets nodeproc.Secrets
}

func start(t *testing.T, flags ...string) *platform {
	t.Helper()
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return startAt(t, listen, flags...)
}

// startAt is start at a given address.
func startAt(t *testing.T, listen string, flags ...string) *platform {
	t.Helper()
	p := &platform{t: t, dataDir: t.TempDir(), listen: listen, flags: flags}
	p.start()
	t.Cleanup(func() { _ = p.node.Kill() }) // it may be dead already
	var err error
	if p.secrets, err = nodeproc.ReadSecrets(p.dataDir); err != nil {
		t.Fatal(err)
	}
	if p.secrets.ClusterKeys, err = p.node.ClusterKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// in is the same node for a part of its test.
func (p *platform) in(t *testing.T) *platform {
	part := *p
	part.t = t
	return &part
}

// start starts the node, or starts it again on the same data and port.
func (p *platform) start() {
	p.t.Helper()
	p.node = awaitProcess(p.t, nodeproc.Config{Binary: binary, DataDir: p.dataDir, Listen: p.listen, Flags: p.flags})
}

func awaitProcess(t *testing.T, c nodeproc.Config) *nodeproc.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	node, err := nodeproc.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// message is what of a message the tests look at, as phones and the REST API give it.
type message struct {
	ID          string `json:"id"`
	Seq         int    `json:"seq"`
	Content     string `json:"messageContent"`
	Status      string `json:"status"`
	Priority    string `json:"priority"`
	Attempt     int    `json:"attempt"`
	DeliveredAt string `json:"deliveredAt"`
}

// call makes one REST call and decodes its answer.
func (p *platform) call(method, path, token string, in, out any) {
	p.t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			p.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.node.URL+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		p.t.Fatalf("%s %s: %s: %v", method, path, text, err)
	}
}

func (p *platform) send(phone, content, priority string) message {
	p.t.Helper()
	var m message
	p.call(http.MethodPost, "/v1/messages", p.secrets.APIKey,
		map[string]string{"recipientPhoneNumber": phone, "messageContent": content, "priority": priority}, &m)
	return m
}

func (p *platform) get(id string) message {
	var m message
	p.t.Helper()
	p.call(http.MethodGet, "/v1/messages/"+id, p.secrets.APIKey, nil, &m)
	return m
}

// awaitStatus polls until the message has that status.
func (p *platform) awaitStatus(id, status string) {
	p.t.Helper()
	var last message
	eventually(p.t, func() bool { last = p.get(id); return last.Status == status }, func() string {
		return fmt.Sprintf("message %s is %s, want %s", id, last.Status, status)
	})
}

// awaitLine waits until the node's log contains a text.
func (p *platform) awaitLine(text string) {
	p.t.Helper()
	eventually(p.t, func() bool { return strings.Contains(p.node.Stderr.String(), text) }, func() string {
		return fmt.Sprintf("no line %q for the operator:\n%s", text, p.node.Stderr)
	})
}

func (p *platform) token(phone, device string) string {
	p.t.Helper()
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	p.call(http.MethodPost, "/admin/v1/device-tokens", p.secrets.AdminToken, map[string]string{"phoneNumber": phone, "deviceId": device}, &answer)
	return answer.AccessToken
}

// eventually polls until the condition holds.
func eventually(t *testing.T, so func() bool, otherwise func() string) {
	t.Helper()
	if !within(patience, so) {
		t.Fatal(otherwise())
	}
}

// within polls until the condition holds. It reports false if it does not hold in time.
func within(limit time.Duration, so func() bool) bool {
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}
