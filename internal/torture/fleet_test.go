package torture

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// runChildNode turns the test binary into a node that only reports readiness. GET /end makes it exit with code 7. If its
// data directory has a file "away", it deletes the file and exits at once.
func runChildNode(listen, dir string) {
	if os.Remove(filepath.Join(dir, "away")) == nil {
		fmt.Fprintln(os.Stderr, databaseTimeoutHint)
		os.Exit(1)
	}
	_ = http.ListenAndServe(listen, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { // serves until it is killed
		if r.URL.Path == "/end" {
			fmt.Fprintln(os.Stderr, "simulated failure")
			os.Exit(7)
		}
	}))
	os.Exit(1)
}

func childNode(t *testing.T) *target {
	t.Helper()
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	n := newTarget(1, nodeproc.Config{Binary: os.Args[0], DataDir: t.TempDir(), Listen: listen})
	if err := os.WriteFile(filepath.Join(n.config.DataDir, "away"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.end() }) // it may be dead already
	return n
}

func TestFleet_OnlyNodeDown_CallersWait(t *testing.T) {
	t.Parallel()
	n := childNode(t)
	f := &fleet{nodes: []*target{n}}
	if err := n.Kill(); err != nil || !n.isDown() {
		t.Fatalf("%v, down: %t", err, n.isDown())
	}
	waited := make(chan *target)
	go func() { waited <- f.nextNode(t.Context()) }()
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	f.nextNode(impatient) // returns
	select {
	case <-waited:
		t.Error("nextNode returned while the only node was down")
	default:
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-waited; got != n || n.isDown() {
		t.Errorf("got node %d, down: %t", got.number, n.isDown())
	}
}

// TestTarget_UnexpectedExit_IsReported checks that an exit that nothing injected is an error.
func TestTarget_UnexpectedExit_IsReported(t *testing.T) {
	t.Parallel()
	n := childNode(t)
	f := &fleet{nodes: []*target{n}}
	if err := f.alive(); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(n.url() + "/end"); err == nil {
		resp.Body.Close()
	}
	<-n.current().Exited()
	for _, err := range []error{f.alive(), n.Kill()} {
		if err == nil || !strings.Contains(err.Error(), "node 1 exited unexpectedly with code 7: simulated failure") {
			t.Errorf("%v", err)
		}
	}
}

func TestFleet_NodeDown_CallersUseTheOthers(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	for number := 1; number <= 3; number++ {
		f.nodes = append(f.nodes, newTarget(number, nodeproc.Config{}))
	}
	f.nodes[1].up = make(chan struct{})
	seen := map[int]int{}
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		seen[f.randomNode(t.Context(), random).number]++
		seen[f.nextNode(t.Context()).number]++
	}
	if seen[1] == 0 || seen[2] != 0 || seen[3] == 0 {
		t.Errorf("%v", seen)
	}
}

func TestSender_ErrorsFromNodes_RetriesWithSameKey(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var tries []int
	s := newFixture(t, nil)
	s.fleet.nodes = nil
	for number := 1; number <= 3; number++ {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if tries = append(tries, number); len(tries) < 12 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"a","recipientPhoneNumber":"+967773000001","durability":"spilled"}`)
		}))
		t.Cleanup(server.Close)
		s.fleet.nodes = append(s.fleet.nodes, newTarget(number, nodeproc.Config{Listen: strings.TrimPrefix(server.URL, "http://")}))
	}
	s.sender().sendUntilAnswered(s.newCall(keyed, false, message{to: recipientOf(1), lane: "high"}))
	list := s.entries(t)
	nodes := map[int]bool{}
	for i, e := range list[1:] {
		nodes[e.Node] = true
		if e.Node != tries[i] {
			t.Errorf("attempt %d: recorded node %d, want %d", i, e.Node, tries[i])
		}
	}
	last := list[len(list)-1]
	if len(nodes) != 3 || last.Kind != checker.Accepted || !last.Spilled || last.Seq != 0 {
		t.Errorf("nodes %v; last %+v", nodes, last)
	}
}

func TestRun_VerifyFindsDamage_IsABreach(t *testing.T) {
	t.Parallel()
	answer := `{"findings":[],"unmended":0}`
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/admin/v1/verify" || r.Header.Get("Authorization") != "Bearer admin" {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = io.WriteString(w, answer)
	})
	if err := s.verify(t.Context()); err != nil || !s.total.Clean() {
		t.Fatalf("%v, %v", err, s.total.Broken)
	}
	answer = `{"findings":[{"check":"event_twice"}],"unmended":1}`
	if err := s.verify(t.Context()); err != nil || s.total.Breaches != 1 || !strings.Contains(s.total.Broken[0], "event_twice") {
		t.Errorf("%v, %v", err, s.total.Broken)
	}
}
