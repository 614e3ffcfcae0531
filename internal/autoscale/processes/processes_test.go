package processes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/autoscale/processes"
)

// scalerDir makes this test binary a scaler with two children, which the test kills.
const scalerDir = "ESH3AR_TEST_SCALER_DIR"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(serve(os.Args[2:]))
	}
	if dir := os.Getenv(scalerDir); dir != "" {
		scaleUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// serve is a fake node: it records in its data directory that it runs and how it ended, and follows instructions in files there.
func serve(args []string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	dir := after(args, "--data-dir")
	must(os.MkdirAll(dir, 0o700))
	note := func(name, text string) { must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	fmt.Fprintln(os.Stderr, "hello")
	note("args", strings.Join(args, " "))
	note("environment", strings.Join(os.Environ(), "\n"))
	note("running", strconv.Itoa(os.Getpid()))
	for {
		<-terminated
		if exists(filepath.Join(dir, "deaf")) {
			continue
		}
		note("drained", "")
		if exists(filepath.Join(dir, "spilled")) {
			return 3
		}
		return 0
	}
}

func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 {
		return args[i+1]
	}
	return ""
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// scaleUntilKilled starts two nodes and waits until it is killed.
func scaleUntilKilled(dir string) {
	t, err := processes.New(processes.Options{Binary: os.Args[0], Dir: dir})
	must(err)
	must(t.Resize(context.Background(), order(2)))
	fmt.Println("ready")
	select {}
}

func order(n int) autoscale.Order {
	return autoscale.Order{Nodes: n, Token: 1, Guard: func(ctx context.Context, effect func(context.Context) error) error { return effect(ctx) }}
}

// fixture is a target under test.
type fixture struct {
	*processes.Target
	t    *testing.T
	dir  string
	log  *output
	stop func()
}

// output collects what children print.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func newFixture(t *testing.T, change func(*processes.Options)) *fixture {
	t.Helper()
	y := &fixture{t: t, dir: t.TempDir(), log: &output{}}
	o := processes.Options{Binary: os.Args[0], Flags: []string{"--ack-timeout", "5s"}, Dir: y.dir, Output: y.log, Random: func(int64) int64 { return 0 }}
	if change != nil {
		change(&o)
	}
	target, err := processes.New(o)
	if err != nil {
		t.Fatal(err)
	}
	y.Target = target
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- y.Run(ctx) }()
	var once sync.Once
	y.stop = func() {
		once.Do(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(y.stop)
	return y
}

func (y *fixture) resize(n int) {
	y.t.Helper()
	if err := y.Resize(y.t.Context(), order(n)); err != nil {
		y.t.Fatal(err)
	}
}

func (y *fixture) fleet() autoscale.Fleet {
	y.t.Helper()
	f, err := y.Fleet(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	return f
}

func (y *fixture) path(slot int, name string) string {
	return filepath.Join(y.dir, strconv.Itoa(slot), name)
}

// await polls until the condition holds.
func (y *fixture) await(what string, so func() bool) {
	y.t.Helper()
	await(y.t, what, so)
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// pid returns the process id of the child in a slot.
func (y *fixture) pid(slot int) int {
	y.t.Helper()
	var pid int
	y.await("a child runs", func() bool {
		text, _ := os.ReadFile(y.path(slot, "running"))
		pid, _ = strconv.Atoi(string(text))
		return pid > 0
	})
	return pid
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestTarget_Resize_StartsAndStops(t *testing.T) {
	t.Setenv("ESH3AR_ADVERTISE_URL", "http://one.example")
	t.Setenv("ESH3AR_AUTOSCALE", "true")
	t.Setenv("ESH3AR_ROLE", "all")
	t.Setenv("ESH3AR_RETRY_BASE", "1s")
	y := newFixture(t, func(o *processes.Options) { o.Env = []string{"ESH3AR_RETRY_BASE=2s"} })
	y.resize(3)
	f := y.fleet()
	if f.Wanted != 3 || len(f.Own) != 3 || f.OwnsAll || f.Opaque || f.RemovalOrder[0] != f.Own[2] || f.RemovalOrder[2] != f.Own[0] {
		t.Errorf("%+v", f)
	}
	first, _, last := y.pid(1), y.pid(2), y.pid(3) // all must have started: before that, SIGTERM kills them
	args, _ := os.ReadFile(y.path(3, "args"))
	if want := "--ack-timeout 5s --listen 127.0.0.1:0 --data-dir " + filepath.Join(y.dir, "3") + " --node-id " + string(f.Own[2]); string(args) != want {
		t.Errorf("started with %q, want %q", args, want)
	}
	environment, _ := os.ReadFile(y.path(3, "environment"))
	if strings.Contains(string(environment), "ESH3AR_ADVERTISE_URL") || strings.Contains(string(environment), "ESH3AR_AUTOSCALE") || strings.Contains(string(environment), "ESH3AR_ROLE") || !strings.Contains(string(environment), "ESH3AR_RETRY_BASE=2s") {
		t.Errorf("environment: %s", environment)
	}
	y.resize(1)
	y.await("the highest two drain and end", func() bool { return !alive(last) && exists(y.path(2, "drained")) && exists(y.path(3, "drained")) })
	if !alive(first) || exists(y.path(1, "drained")) {
		t.Error("the lowest did not stay")
	}
	y.await("those that have gone are forgotten", func() bool { return len(y.fleet().Own) == 1 })
	y.resize(2)
	if got := y.fleet().Own; got[1] != f.Own[1] || !exists(y.path(2, "drained")) {
		t.Errorf("%v does not use the data directory of before", got)
	}
	y.await("what children print has their names", func() bool { return strings.Contains(y.log.String(), string(f.Own[1])+": hello\n") })
	y.stop()
	if alive(first) || !exists(y.path(1, "drained")) {
		t.Error("Run did not wait for the children's end")
	}
	if err := y.Resize(t.Context(), order(1)); err == nil {
		t.Error("a node was started after the end")
	}
}

func TestTarget_DrainingChild_NotCountedAndSlotKept(t *testing.T) {
	t.Parallel()
	y := newFixture(t, nil)
	y.resize(2)
	pid := y.pid(2)
	if err := os.WriteFile(y.path(2, "deaf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	y.resize(1)
	if f := y.fleet(); f.Wanted != 1 || len(f.Own) != 2 || len(f.RemovalOrder) != 1 {
		t.Errorf("while it drains: %+v", f)
	}
	y.resize(2)
	if f := y.fleet(); f.Wanted != 2 || len(f.Own) != 3 || !strings.HasSuffix(string(f.RemovalOrder[0]), "-3") {
		t.Errorf("with another: %+v", f)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	y.await("it has gone", func() bool { return len(y.fleet().Own) == 2 })
}

func TestTarget_ChildCrashes_IsRestarted(t *testing.T) {
	t.Parallel()
	log := &output{}
	y := newFixture(t, func(o *processes.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	y.resize(1)
	for _, pause := range []string{"in=500ms", "in=1s"} { // the backoff grows
		first := y.pid(1)
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		y.await("another process in its place", func() bool { return y.pid(1) != first })
		if text := log.String(); !strings.Contains(text, pause) {
			t.Errorf("want %s: %s", pause, text)
		}
	}
	if f := y.fleet(); f.Wanted != 1 || len(f.Own) != 1 {
		t.Errorf("%+v", f)
	}
}

func TestTarget_ChildDoesNotDrain_IsKilled(t *testing.T) {
	t.Parallel()
	y := newFixture(t, func(o *processes.Options) { o.StopWithin = 50 * time.Millisecond })
	y.resize(1)
	pid := y.pid(1)
	if err := os.WriteFile(y.path(1, "deaf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	y.resize(0)
	y.await("it is killed", func() bool { return !alive(pid) })
}

// TestTarget_ChildLeavesMessages_RunsAgain: no other node can store them, and the scaler decides again which node to stop.
func TestTarget_ChildLeavesMessages_RunsAgain(t *testing.T) {
	t.Parallel()
	log := &output{}
	y := newFixture(t, func(o *processes.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	y.resize(2)
	first := y.pid(2)
	if err := os.WriteFile(y.path(2, "spilled"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	y.resize(1)
	y.await("another process in its place", func() bool { return y.pid(2) != first })
	if f := y.fleet(); f.Wanted != 2 || len(f.Own) != 2 {
		t.Errorf("%+v", f)
	}
	if text := log.String(); !strings.Contains(text, "accepted messages on its own disk") || !strings.Contains(text, filepath.Join(y.dir, "2")) {
		t.Errorf("a warning with the place: %s", text)
	}
	if err := os.Remove(y.path(2, "spilled")); err != nil {
		t.Fatal(err)
	}
	y.resize(1)
	y.await("it has gone", func() bool { return len(y.fleet().Own) == 1 })
}

func TestTarget_IPv6Host_Works(t *testing.T) {
	t.Parallel()
	y := newFixture(t, func(o *processes.Options) { o.Host = "::1" })
	y.resize(1)
	y.pid(1)
	if args, _ := os.ReadFile(y.path(1, "args")); !strings.Contains(string(args), "--listen [::1]:0 ") {
		t.Errorf("started with %q", args)
	}
}

func TestTarget_LeaseLost_ChangesNothing(t *testing.T) {
	t.Parallel()
	y := newFixture(t, nil)
	y.resize(1)
	pid := y.pid(1)
	refuse := order(3)
	refuse.Guard = func(context.Context, func(context.Context) error) error { return autoscale.ErrFenced }
	for _, n := range []int{3, 0} {
		refuse.Nodes = n
		if err := y.Resize(t.Context(), refuse); !errors.Is(err, autoscale.ErrFenced) || y.fleet().Wanted != 1 || !alive(pid) {
			t.Errorf("to %d: %v, %+v", n, err, y.fleet())
		}
	}
	lost := order(3) // the lease is lost while nodes are started
	lost.Guard = func(ctx context.Context, effect func(context.Context) error) error {
		return errors.Join(autoscale.ErrFenced, effect(ctx))
	}
	if err := y.Resize(t.Context(), lost); !errors.Is(err, autoscale.ErrFenced) || y.fleet().Wanted != 1 {
		t.Errorf("%v, %+v", err, y.fleet())
	}
	y.await("those that were started have gone again", func() bool { return len(y.fleet().Own) == 1 })
}

// TestTarget_MessagesOfEarlierRun_StartsNode: the node starts in the slot of the messages, once the directory can be read, and only
// exists.
func TestTarget_MessagesOfEarlierRun_StartsNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"1", "2", "3", "4", "lost+found"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var asked sync.Map
	y := newFixture(t, func(o *processes.Options) {
		o.Dir = dir
		o.Left = func(data string) (bool, error) {
			n, again := asked.LoadOrStore(filepath.Base(data), new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			if filepath.Base(data) == "4" && !again {
				return false, errors.New("in use")
			}
			return filepath.Base(data) == "3" || filepath.Base(data) == "4", nil
		}
	})
	y.await("two have nodes", func() bool { return len(y.fleet().Own) == 2 })
	if own := y.fleet().Own; !strings.HasSuffix(string(own[0]), "-3") || !strings.HasSuffix(string(own[1]), "-4") {
		t.Errorf("%v", own)
	}
	y.resize(3) // they count
	if f := y.fleet(); f.Wanted != 3 || !strings.HasSuffix(string(f.Own[0]), "-1") {
		t.Errorf("%+v", f)
	}
	y.stop()
	for slot, times := range map[string]int64{"1": 1, "2": 1, "3": 1, "4": 2} {
		if n, _ := asked.Load(slot); n.(*atomic.Int64).Load() != times {
			t.Errorf("%s was looked into %d times", slot, n.(*atomic.Int64).Load())
		}
	}
	if _, ok := asked.Load("lost+found"); ok {
		t.Error("what is no place was looked into")
	}
}

func TestTarget_MissingBinary_Fails(t *testing.T) {
	t.Parallel()
	y := newFixture(t, func(o *processes.Options) { o.Binary = "/nonexistent/esh3ar" })
	if err := y.Resize(t.Context(), order(1)); err == nil || !strings.Contains(err.Error(), "/nonexistent/esh3ar") || y.fleet().Wanted != 0 {
		t.Errorf("%v, %+v", err, y.fleet())
	}
}

func TestTarget_SecondScalerOfFolder_Fails(t *testing.T) {
	t.Parallel()
	y := newFixture(t, nil)
	if _, err := processes.New(processes.Options{Binary: os.Args[0], Dir: y.dir}); err == nil || !strings.Contains(err.Error(), "in use by another scaler") {
		t.Error(err)
	}
	y.resize(1)
	names := y.fleet().Own
	y.stop()
	again, err := processes.New(processes.Options{Binary: os.Args[0], Dir: y.dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := again.Resize(ctx, order(1)); err != nil {
		t.Error(err)
	}
	if f, err := again.Fleet(ctx); err != nil || !slices.Equal(f.Own, names) {
		t.Errorf("nodes of the next scaler in this folder: %v %v, want %v", f.Own, err, names)
	}
	stop()
	if err := again.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestTarget_ScalerKilled_ChildrenDrain kills the scaler with SIGKILL.
func TestTarget_ScalerKilled_ChildrenDrain(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the kernel has to do it")
	}
	dir := t.TempDir()
	scaler := exec.Command(os.Args[0])
	scaler.Env = append(os.Environ(), scalerDir+"="+dir)
	out, err := scaler.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := scaler.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	both := func(name string) bool {
		return exists(filepath.Join(dir, "1", name)) && exists(filepath.Join(dir, "2", name))
	}
	await(t, "both children run", func() bool { return both("running") })
	if err := scaler.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = scaler.Wait() // it was killed
	await(t, "both children drain", func() bool { return both("drained") })
}
