package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// esh3ar runs the program and waits for its end.
func esh3ar(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience) // a torture takes its time on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// refused checks that serve ends with a code other than 0 and one clear line.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	code, _, stderr := esh3ar(t, append([]string{"serve", "--log-level", "error"}, args...)...)
	lines := strings.Count(strings.TrimSpace(stderr), "\n") + 1
	if code == 0 || lines != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "goroutine") {
		t.Errorf("code %d, stderr %q: want one line with %q", code, stderr, want)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	refused(t, "in use by another program", "--listen", listener.Addr().String(), "--data-dir", t.TempDir())
}

func TestUnwritableDataDir(t *testing.T) {
	t.Parallel()
	// A folder below a file cannot be made by anybody, root included.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "--data-dir", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(file, "data"))
	if os.Getuid() != 0 {
		folder := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		refused(t, "--data-dir", "--listen", "127.0.0.1:0", "--data-dir", folder)
	}
}

func TestDataDirInUse(t *testing.T) {
	t.Parallel()
	p := start(t)
	refused(t, "in use by another process", "--listen", "127.0.0.1:0", "--data-dir", p.dataDir)
}

// filled returns the data directory of a stopped node with stored messages.
func filled(t *testing.T) string {
	t.Helper()
	p := start(t)
	for range 20 {
		p.send(alice, "x", "normal")
	}
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	return p.dataDir
}

func TestDamagedStore(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(store string) error{
		"manifest gone": func(store string) error { return removeAll(store, "MANIFEST-*") },
		"manifest cut":  func(store string) error { return truncateAll(store, "MANIFEST-*") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t)
			if err := damage(filepath.Join(dir, "store")); err != nil {
				t.Fatal(err)
			}
			refused(t, "damaged", "--listen", "127.0.0.1:0", "--data-dir", dir)
		})
	}
}

func removeAll(folder, pattern string) error {
	return forAll(folder, pattern, os.Remove)
}

func truncateAll(folder, pattern string) error {
	return forAll(folder, pattern, func(name string) error { return os.Truncate(name, 5) })
}

func forAll(folder, pattern string, do func(string) error) error {
	names, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("nothing there to damage")
	}
	for _, name := range names {
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

// TestDrain checks that SIGTERM answers the calls in flight, exits with code 0 and loses no answered message.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := start(t)
	ph := newPhone(p, alice, "a", "none")
	sent := p.send(alice, "stays", "normal")
	ph.await(1)
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	ph.awaitState("reconnecting") // Close with allowReconnect
	p.start()
	ph.awaitState("reconnected")
	ph.await(2)
	if ph.got[1].ID != sent.ID {
		t.Errorf("after the restart came %+v", ph.got[1])
	}
}

// printedCommands are the client commands that serve printed, by name.
func printedCommands(p *platform) map[string]string {
	lines := map[string]string{}
	for line := range strings.SplitSeq(p.node.Stdout.String(), "\n") {
		for _, name := range []string{"listen", "send"} {
			if strings.Contains(line, " "+name+" --") {
				lines[name] = strings.TrimSpace(line)
			}
		}
	}
	return lines
}

// TestServe_PrintedCommands_Work runs the printed lines in a shell.
func TestServe_PrintedCommands_Work(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"one listener": nil, "two listeners": {"--admin-listen", "127.0.0.1:0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkPrintedCommands(t, flags)
		})
	}
}

func checkPrintedCommands(t *testing.T, flags []string) {
	t.Helper()
	listenAt, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, dataDir: t.TempDir(), listen: listenAt, flags: flags}
	p.start()
	t.Cleanup(func() { _ = p.node.Kill() })
	code, _, hint := esh3ar(t, "verify", "--data-dir", p.dataDir)
	if _, at, ok := strings.Cut(hint, "--url "); code != 2 || !ok {
		t.Errorf("verify beside the node: got code %d and %q, want 2 and a URL", code, hint)
	} else if code, _, errs := esh3ar(t, "verify", "--data-dir", p.dataDir, "--url", strings.TrimSpace(at)); code != 0 {
		t.Errorf("verify with that URL: got code %d and %q, want 0", code, errs)
	}
	if code, _, errs := esh3ar(t, "keys", "list", "--data-dir", p.dataDir, "--url", p.node.URL); flags != nil && (code != 1 || !strings.Contains(errs, "--admin-url")) {
		t.Errorf("keys list at the first listener: got code %d and %q, want 1 and a hint about --admin-url", code, errs)
	}
	var lines map[string]string
	eventually(t, func() bool { lines = printedCommands(p); return len(lines) == 2 },
		func() string { return "serve printed " + p.node.Stdout.String() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	listen := exec.CommandContext(ctx, "sh", "-c", lines["listen"]+" --count 1")
	var heard bytes.Buffer
	listen.Stdout = &heard
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "sh", "-c", lines["send"]+" --wait 30s").CombinedOutput(); err != nil || !strings.Contains(string(out), "delivered") {
		t.Errorf("%s: %v\n%s", lines["send"], err, out)
	}
	if err := listen.Wait(); err != nil || !strings.Contains(heard.String(), "Hello from Esh3arTech") {
		t.Errorf("%s: %v\n%s", lines["listen"], err, heard.String())
	}
}

// TestBenchAndTorture_ShortRuns_Succeed runs bench and torture briefly; their long runs are separate make targets.
func TestBenchAndTorture_ShortRuns_Succeed(t *testing.T) {
	code, stdout, stderr := esh3ar(t, "bench", "--short")
	for _, want := range []string{"share of the floor", "waiting messages each acknowledged after", "written per message"} {
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "FAULT") {
			t.Errorf("bench: %d, no %q\n%s%s", code, want, stdout, stderr)
		}
	}
	code, stdout, stderr = esh3ar(t, "bench", "--short", "--scenario", "growth")
	if code != 0 || strings.Count(stdout, "B7") != 3 || strings.Contains(stdout, "FAULT") {
		t.Errorf("bench --scenario growth: %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = esh3ar(t, "bench", "--cluster", "--nodes", "2", "--short")
	for _, want := range []string{"CPU per message, nodes ", "CPU per message, PostgreSQL ", "CPU per message, Redis ", "CPU per message, all of them "} {
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, want+" 0 ") || strings.Contains(stdout, "FAULT") {
			t.Errorf("bench --cluster: %d, no %q\n%s%s", code, want, stdout, stderr)
		}
	}
	// The other build is the same build in another process.
	code, stdout, stderr = esh3ar(t, "bench", "--versus", binary+",nginx,haproxy", "--short")
	for _, want := range []string{"CPU per message ÷ esh3ar (other build)", "balancer CPU per call ÷ nginx", "balancer CPU per call ÷ HAProxy"} {
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "FAULT") {
			t.Errorf("bench --versus: %d, no %q\n%s%s", code, want, stdout, stderr)
		}
	}
	code, stdout, stderr = esh3ar(t, "torture", "--kills", "3", "--power-cuts")
	if code != 0 || !strings.Contains(stdout, "every promise was kept") {
		t.Errorf("torture: %d\n%s%s", code, stdout, stderr)
	}
}

// report is the part of a report of bench that tests read.
type report struct {
	Rows []struct {
		Scenario, What string
		Value          float64
	}
	Texts []struct {
		Title string
		Lines []string
	}
}

// benchReport runs bench, which must succeed, and returns its report and its output.
func benchReport(t *testing.T, args ...string) (report, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	code, stdout, stderr := esh3ar(t, append([]string{"bench", "--json", file}, args...)...)
	if code != 0 || strings.Contains(stdout, "FAULT") {
		t.Fatalf("bench: %d\n%s%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found report
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	return found, stdout + stderr
}

// TestOverloadServesByLevel offers twice the declared capacity: enterprise is served before premium, premium before
// basic, and no accepted message is lost. Times and rates are not checked, since the machine runs other tests.
func TestOverloadServesByLevel(t *testing.T) {
	found, stdout := benchReport(t, "--overload", "--short", "--capacity", "300", "--plot", filepath.Join(t.TempDir(), "plot.svg"))
	share := map[string]float64{}
	for _, row := range found.Rows {
		if level, ok := strings.CutSuffix(row.What, ": share served"); ok {
			share[level] = row.Value
		}
	}
	if len(share) != 3 || share["enterprise"] < share["premium"] || share["premium"] < share["basic"] || share["enterprise"] == share["basic"] {
		t.Errorf("shares served: %v\n%s", share, stdout)
	}
}

// TestStart_NodeFails_ReportsReason checks that the test helper reports why a node did not start.
func TestStart_NodeFails_ReportsReason(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := nodeproc.Start(ctx, nodeproc.Config{Binary: binary, DataDir: t.TempDir(), Flags: []string{"--nonsense"}}); err == nil || !strings.Contains(err.Error(), "--nonsense") {
		t.Errorf("error %v", err)
	}
}

// TestProfiles_Parameters_ReachPprof asks for a profile as text at the shared address.
func TestProfiles_Parameters_ReachPprof(t *testing.T) {
	t.Parallel()
	p := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.node.URL+"/debug/pprof/goroutine?debug=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(text), "goroutine profile: total ") {
		t.Errorf("profile: got %s, %v and %.100q, want 200 and text", resp.Status, err, text)
	}
}

// TestAllocations_Message_StayBelowBounds guards what a node allocates for a message: from the socket to 202, and with push,
// acknowledgement and settlement. The counts are those of the node's own metrics, so other processes do not matter. Small
// batches cost a little more, so the bounds leave a fifth.
func TestAllocations_Message_StayBelowBounds(t *testing.T) {
	found, _ := benchReport(t, "--short", "--scenario", "accept,deliver")
	got := map[string]float64{}
	for _, row := range found.Rows {
		if row.What == "allocations per message" {
			got[row.Scenario] = row.Value
		}
	}
	for scenario, most := range map[string]float64{"accept": 17, "deliver": 66} {
		if got[scenario] <= 0 || got[scenario] > most {
			t.Errorf("allocations per message of %s: got %.1f, want at most %.0f", scenario, got[scenario], most)
		}
	}
}

// TestBenchSoak_ShortRun_ReturnsToRest runs the soak scenario briefly: every accepted message arrives, and after the load the
// node has as many goroutines as before. Trends are not checked, since they need time.
func TestBenchSoak_ShortRun_ReturnsToRest(t *testing.T) {
	code, stdout, stderr := esh3ar(t, "bench", "--short", "--scenario", "soak")
	for _, want := range []string{"memory at 70 %, growth", "goroutines at 200 %, growth", "size of the store at 200 %, growth"} {
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "FAULT") {
			t.Errorf("bench --scenario soak: %d, no %q\n%s%s", code, want, stdout, stderr)
		}
	}
}
