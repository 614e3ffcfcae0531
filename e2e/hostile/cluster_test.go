package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// cluster is two nodes with their PostgreSQL and Redis, and a gateway before them.
type cluster struct {
	t       *testing.T
	redis   *redisproc.Server
	nodes   []*process
	gateway *process
	secrets nodeproc.Secrets
}

// process is a node or a gateway under attack.
type process struct {
	*nodeproc.Node
	name string

	peak struct {
		sync.Mutex
		rss   int64 // bytes
		files int
	}
}

// startCluster starts all of it and waits until the gateway sees both nodes.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	postgres, err := pgproc.Start(ctx, pgproc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = postgres.Kill() }) // nothing reads it again
	redis, err := redisproc.StartSingle(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Kill() }) // nothing reads it again
	c := &cluster{t: t, redis: redis}
	for i := range 2 {
		dir := t.TempDir()
		c.nodes = append(c.nodes, c.start(ctx, fmt.Sprint("node ", i), nodeproc.Config{
			DataDir: dir, Flags: []string{"--database-url", postgres.URL("postgres"), "--redis-url", redis.URL()},
		}))
		if i == 0 {
			if c.secrets, err = nodeproc.ReadSecrets(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.gateway = c.start(ctx, "gateway", nodeproc.Config{Command: "gateway", Flags: []string{"--redis-url", redis.URL(), "--database-url", postgres.URL("postgres")}})
	c.await("the gateway sees both nodes", func() bool {
		return strings.Count(c.metrics(c.gateway), `state="up"} 1`) == 2
	})
	return c
}

func (c *cluster) start(ctx context.Context, name string, config nodeproc.Config) *process {
	c.t.Helper()
	config.Binary = binary
	node, err := nodeproc.Start(ctx, config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = node.Kill() }) // it may be dead already
	return &process{Node: node, name: name}
}

// processes returns the nodes and the gateway.
func (c *cluster) processes() []*process {
	return append(c.nodes[:len(c.nodes):len(c.nodes)], c.gateway)
}

// await polls until done reports true.
func (c *cluster) await(what string, done func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// client waits for an answer as long as a sensible caller does.
var client = http.Client{Timeout: 30 * time.Second}

// metrics returns the text of a process's metrics; empty if there was no answer.
func (c *cluster) metrics(p *process) string {
	resp, err := client.Get(p.URL + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// metric returns the sum of all series of one name in text.
func metric(text, name string) (sum float64) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			sum += value
		}
	}
	return sum
}

// admin makes one call of the admin API and decodes its answer.
func (c *cluster) admin(path string, in, out any) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.nodes[0].URL+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.secrets.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		c.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		c.t.Fatal(err)
	}
}

// token makes a device token.
func (c *cluster) token(number, device string) string {
	c.t.Helper()
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	c.admin("/admin/v1/device-tokens", map[string]string{"phoneNumber": number, "deviceId": device}, &answer)
	return answer.AccessToken
}

// business makes another business and returns its API key.
func (c *cluster) business(name string) string {
	c.t.Helper()
	var made struct {
		ID     string `json:"id"`
		APIKey string `json:"apiKey"`
	}
	c.admin("/admin/v1/businesses", map[string]string{"name": name}, &made)
	if made.APIKey == "" {
		c.admin("/admin/v1/businesses/"+made.ID+"/keys", struct{}{}, &made)
	}
	return made.APIKey
}

// usage is what a process has of the machine.
type usage struct {
	rss   int64 // bytes
	files int
}

// usage reads /proc; ok is false once the process has ended.
func (p *process) usage() (u usage, ok bool) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID()))
	if err != nil {
		return u, false
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return u, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return u, false
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		return u, false
	}
	return usage{pages * int64(os.Getpagesize()), len(files)}, true
}

// sample keeps the peaks of every process until ctx ends.
func (c *cluster) sample(ctx context.Context) {
	for ctx.Err() == nil {
		for _, p := range c.processes() {
			u, _ := p.usage() // a dead process is found elsewhere
			p.peak.Lock()
			p.peak.rss, p.peak.files = max(p.peak.rss, u.rss), max(p.peak.files, u.files)
			p.peak.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// takePeak returns the peaks since the last call.
func (p *process) takePeak() usage {
	p.peak.Lock()
	defer p.peak.Unlock()
	u := usage{p.peak.rss, p.peak.files}
	p.peak.rss, p.peak.files = 0, 0
	return u
}

// died reports whether the process has ended.
func (p *process) died() bool {
	select {
	case <-p.Exited():
		return true
	default:
		return false
	}
}

// stack returns the first stack trace in what the process printed; empty if there is none.
func (p *process) stack() string {
	text := p.Stderr.String() + p.Stdout.String()
	for _, sign := range []string{"panic", "goroutine ", "runtime error"} {
		if at := strings.Index(text, sign); at >= 0 {
			return text[max(0, at-200):min(len(text), at+2000)]
		}
	}
	return ""
}
