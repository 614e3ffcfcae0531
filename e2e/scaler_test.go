package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	phones "github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// quickPolicy targets two phones per node and has short intervals.
const quickPolicy = `
min: 1
max: 4
metrics: [{metric: connections, target: 2, window: 0s}]
up: {step: 4, cooldown: 1s}
down: {stabilizationWindow: 3s, step: 1, cooldown: 1s, tolerance: 0}
`

// scaler is `esh3ar scaler` as a child process.
type scaler struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *nodeproc.Output
	exited chan struct{}
	url    string // of the database
	dir    string
}

func startScaler(t *testing.T, database, redis, policy string, more ...string) *scaler {
	t.Helper()
	s := &scaler{t: t, stderr: &nodeproc.Output{}, exited: make(chan struct{}), url: database, dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"scaler", "--database-url", database, "--redis-url", redis, "--policy", file, "--every", "1s", "--data-dir", s.dir}
	s.cmd = exec.Command(binary, append(args, more...)...) // its end is the test's to choose
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		_ = s.cmd.Wait() // the code is in ProcessState
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop() })
	return s
}

// stop makes the scaler drain its nodes and exit.
func (s *scaler) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // a paused process does not handle signals
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	<-s.exited
}

func (s *scaler) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scaler) history() string {
	s.t.Helper()
	code, out, errs := esh3ar(s.t, "scaler", "--history", "--database-url", s.url)
	if code != 0 {
		s.t.Fatalf("history: %d %s", code, errs)
	}
	return out
}

// awaitHistory waits until the history contains a text.
func (s *scaler) awaitHistory(what string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.Contains(s.history(), what) }, func() string {
		return "the diary does not say " + what + ":\n" + s.history() + s.stderr.String()
	})
}

// nodeURLs are those of the nodes that live and do not drain, as the registry has them.
func nodeURLs(t *testing.T, redis *redisproc.Server) (urls []string) {
	t.Helper()
	keys, err := redis.Do(t.Context(), "KEYS", "*{nodes}:word")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys.([]any) {
		words, err := redis.Do(t.Context(), "HVALS", key.(string))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words.([]any) {
			var node struct {
				URL      string `json:"url"`
				Draining bool   `json:"draining"`
			}
			var signed struct {
				Node string `json:"node"`
			}
			if err := errors.Join(json.Unmarshal([]byte(word.(string)), &signed), json.Unmarshal([]byte(signed.Node), &node)); err != nil {
				t.Fatal(err)
			}
			if node.URL != "" && !node.Draining { // clusters are listed as nodes are, without one
				urls = append(urls, node.URL)
			}
		}
	}
	return urls
}

// audience are phones that acknowledge whatever comes, and come back to the first node when they are sent away.
type audience struct {
	p     *platform
	group sync.WaitGroup
	stops []context.CancelFunc
}

// join connects one more.
func (c *audience) join(number string) {
	c.p.t.Helper()
	token := c.p.token(number, "crowd")
	ctx, stop := context.WithCancel(context.Background())
	c.stops = append(c.stops, stop)
	c.group.Go(func() {
		for ctx.Err() == nil {
			_ = stay(ctx, phones.Config{URL: c.p.node.URL, Token: token}) // it comes back
		}
	})
}

// leave ends the last n.
func (c *audience) leave(n int) {
	for _, stop := range c.stops[len(c.stops)-n:] {
		stop()
	}
	c.stops = c.stops[:len(c.stops)-n]
}

// stay is one connection.
func stay(ctx context.Context, config phones.Config) error {
	conn, err := phones.Dial(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var events []phones.Event
	for {
		if events, err = conn.Next(events[:0], true); err != nil {
			return err
		}
		for _, e := range events {
			for _, m := range e.Messages {
				if err := conn.Send("AcknowledgeMessages", `[["`+m.ID+`"]]`); err != nil {
					return err
				}
			}
		}
		if err := conn.Ping(); err != nil {
			return err
		}
	}
}

// sender calls whichever nodes there are, with keys, and keeps what was accepted.
type sender struct {
	p      *platform
	redis  *redisproc.Server
	phones []string
	client http.Client

	accepted []string
	taken    atomic.Int64 // how many that is by now
	lost     int          // calls that no node took
}

// run sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		s.one(n)
	}
}

// one goes to one node after the other until one takes it, as a balancer does, and comes back when all are full.
func (s *sender) one(n int) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		urls := nodeURLs(s.p.t, s.redis)
		for try := range urls {
			if id, err := s.call(urls[(n+try)%len(urls)], n); err == nil {
				s.accepted = append(s.accepted, id)
				s.taken.Add(1)
				return
			}
		}
		<-time.After(50 * time.Millisecond) // as a client that honours Retry-After
	}
	s.lost++
}

func (s *sender) call(url string, n int) (id string, err error) {
	body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":"%d"}`, s.phones[n%len(s.phones)], n)
	req, err := http.NewRequest(http.MethodPost, url+"/v1/messages", bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.p.secrets.APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprint("call-", n))
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return "", errors.New(resp.Status)
	}
	var m message
	err = json.NewDecoder(resp.Body).Decode(&m)
	return m.ID, err
}

// TestScaler_PhonesComeAndGo_NodesFollow checks that nodes are added when phones connect and drained after they have left, under continuous calls.
// Every call is accepted and every accepted message is delivered.
func TestScaler_PhonesComeAndGo_NodesFollow(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	p := start(t, "--database-url", url, "--redis-url", redis.URL())
	s := startScaler(t, url, redis.URL(), quickPolicy, "--", "--ack-timeout", "5s")
	s.awaitHistory("decides from here on")
	c := audience{p: p}
	var numbers []string
	for i := range 6 {
		numbers = append(numbers, fmt.Sprintf("+96777000010%d", i))
		c.join(numbers[i])
	}
	defer func() { c.leave(len(c.stops)); c.group.Wait() }()
	s.awaitHistory("→ 3")
	eventually(t, func() bool { return len(nodeURLs(t, redis)) == 3 }, func() string { return "not three nodes: " + s.stderr.String() })

	ctx, stop := context.WithCancel(t.Context())
	calls := sender{p: p, redis: redis, phones: numbers, client: http.Client{Timeout: 10 * time.Second}}
	done := make(chan struct{})
	defer func() { stop(); <-done }()
	go func() { defer close(done); calls.run(ctx) }()
	c.leave(5)
	s.awaitHistory("2 → 1")
	eventually(t, func() bool { return strings.Count(s.stderr.String(), "a node has drained and ended") == 2 },
		func() string { return "the nodes have not drained: " + s.stderr.String() })
	eventually(t, func() bool { return calls.taken.Load() >= 50 }, func() string { return fmt.Sprintf("%d calls were taken", calls.taken.Load()) })
	stop()
	<-done
	for _, number := range numbers[1:] { // whose phones had gone
		c.join(number)
	}
	if calls.lost > 0 {
		t.Errorf("%d calls were taken, %d not", len(calls.accepted), calls.lost)
	}
	for _, id := range calls.accepted {
		p.awaitStatus(id, "delivered")
	}
	t.Logf("%d messages; the diary:\n%s", len(calls.accepted), s.history())
}

// busyPolicy scales by used capacity and has short intervals.
const busyPolicy = `
max: 3
metrics: [{metric: load, target: 0.8, window: 3s}]
up: {step: 1, percent: 0, cooldown: 1s}
down: {stabilizationWindow: 5s, cooldown: 1s}
`

// TestScaler_LoadAbove80Percent_AddsNodes declares a capacity of five calls a second and offers more.
func TestScaler_LoadAbove80Percent_AddsNodes(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	small := []string{"--capacity-rate", "5"}
	p := start(t, append([]string{"--database-url", url, "--redis-url", redis.URL()}, small...)...)
	s := startScaler(t, url, redis.URL(), busyPolicy, append([]string{"--"}, small...)...)
	ctx, stop := context.WithCancel(t.Context())
	calls := sender{p: p, redis: redis, phones: []string{alice}, client: http.Client{Timeout: 10 * time.Second}}
	done := make(chan struct{})
	defer func() { stop(); <-done }()
	go func() { defer close(done); calls.run(ctx) }()
	s.awaitHistory("1 → 2  rising         1 node ")
	eventually(t, func() bool { return len(nodeURLs(t, redis)) >= 2 }, func() string { return "no second node: " + s.stderr.String() })
	stop()
	<-done
	s.awaitHistory("2 → 1  falling")
	eventually(t, func() bool { return len(nodeURLs(t, redis)) == 1 }, func() string { return "the nodes stay: " + s.stderr.String() })
	if calls.lost > 0 {
		t.Errorf("%d calls were taken, %d not", len(calls.accepted), calls.lost)
	}
	for _, id := range calls.accepted {
		p.awaitStatus(id, "pending")
	}
	t.Logf("%d messages; the diary:\n%s", len(calls.accepted), s.history())
}

// TestScaler_Paused_AnotherTakesOver pauses the deciding scaler. Another takes over. After it resumes, the first changes
// nothing and stays on standby.
func TestScaler_Paused_AnotherTakesOver(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	p := start(t, "--database-url", url, "--redis-url", redis.URL())
	first := startScaler(t, url, redis.URL(), quickPolicy)
	first.awaitHistory("decides from here on")
	second := startScaler(t, url, redis.URL(), quickPolicy)
	first.signal(syscall.SIGSTOP)
	eventually(t, func() bool { return strings.Count(second.history(), "decides from here on") >= 2 }, func() string { return "nobody took over:\n" + second.history() })
	c := audience{p: p}
	for i := range 4 {
		c.join(fmt.Sprintf("+96777000020%d", i))
	}
	defer func() { c.leave(len(c.stops)); c.group.Wait() }()
	second.awaitHistory("1 → 2")
	first.signal(syscall.SIGCONT)
	eventually(t, func() bool { return len(nodeURLs(t, redis)) == 2 }, func() string { return "not two nodes: " + second.stderr.String() })
	if places, err := os.ReadDir(filepath.Join(first.dir, "scaled")); err != nil || len(places) != 2 { // its lock and its name
		t.Errorf("the one that was stopped has started nodes: %v, %v", places, err)
	}
	second.stop()
	eventually(t, func() bool { return strings.Count(first.history(), "→ 2") >= 2 }, func() string { return "the first does not decide again:\n" + first.history() })
}

// TestScaler_DryRun_DoesNotBlockOthers starts a dry-run scaler first: it prints its decisions, and a second scaler
// executes them.
func TestScaler_DryRun_DoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	url, redis := database(t).URL("postgres"), redisServer(t)
	p := start(t, "--database-url", url, "--redis-url", redis.URL())
	dry := startScaler(t, url, redis.URL(), quickPolicy, "--dry-run")
	c := audience{p: p}
	for i := range 4 {
		c.join(fmt.Sprintf("+96777000030%d", i))
	}
	defer func() { c.leave(len(c.stops)); c.group.Wait() }()
	dry.awaitHistory("(dry run: not done)")
	startScaler(t, url, redis.URL(), quickPolicy)
	dry.awaitHistory("decides from here on")
	eventually(t, func() bool { return len(nodeURLs(t, redis)) == 2 }, func() string { return "not two nodes:\n" + dry.history() + dry.stderr.String() })
}

// TestScaler_SpillsLeftBehind_AreDrained stops nodes and scaler during a database outage while one node has a spill. The
// next scaler needs no node for the load, but starts the one with the spill.
func TestScaler_SpillsLeftBehind_AreDrained(t *testing.T) {
	t.Parallel()
	server, redis := database(t), redisServer(t)
	p := start(t, "--database-url", server.URL("postgres"), "--redis-url", redis.URL())
	p.send(bob, "so that the key is known", "normal")
	wantsThree := strings.Replace(quickPolicy, "min: 1", "min: 3", 1)
	first := startScaler(t, server.URL("postgres"), redis.URL(), wantsThree, "--", "--shutdown-timeout", "3s")
	var theirs []string
	eventually(t, func() bool {
		theirs = slices.DeleteFunc(nodeURLs(t, redis), func(url string) bool { return url == p.node.URL })
		return len(theirs) == 2
	}, first.stderr.String)
	child := *p
	child.node = &nodeproc.Node{URL: theirs[1]}
	child.send(bob, "so that it knows the key as well", "normal")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	m, _ := child.offer(alice, "left behind", "")
	first.stop()
	restart(t, server)
	dry := startScaler(t, server.URL("postgres"), redis.URL(), quickPolicy, "--dry-run", "--data-dir", first.dir)
	dry.awaitHistory("what it would do")
	dry.stop()
	if said := dry.stderr.String(); strings.Contains(said, "is started") {
		t.Errorf("a dry run has started a node:\n%s", said)
	}
	second := startScaler(t, server.URL("postgres"), redis.URL(), quickPolicy, "--data-dir", first.dir)
	ph := newPhone(p, alice, "a", "each")
	ph.await(1)
	if got := ids(ph.got); !slices.Equal(got, []string{m.ID}) {
		t.Errorf("the phone has %v, want %v\n%s", got, m.ID, second.stderr)
	}
	if said := second.stderr.String(); strings.Count(said, "it is started to store them") != 1 {
		t.Errorf("not one node was fetched:\n%s", said)
	}
}
