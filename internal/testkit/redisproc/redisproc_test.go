package redisproc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// TestMain makes this test's own binary an owner that starts a server, prints its process id and waits to be killed: its
// first argument is then own.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "own" {
		s, err := redisproc.StartSingle(context.Background(), os.Args[2])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.PID())
		select {}
	}
	goleak.VerifyTestMain(m)
}

// patience bounds a hang; nothing here takes that long.
func patience(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("needs redis-server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func single(ctx context.Context, t *testing.T, flags ...string) *redisproc.Server {
	t.Helper()
	s, err := redisproc.StartSingle(ctx, t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() }) // it may have ended already
	return s
}

// must gives the reply as text.
func must(ctx context.Context, t *testing.T, s *redisproc.Server, args ...string) any {
	t.Helper()
	reply, err := s.Do(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestSingle(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	s := single(ctx, t)
	must(ctx, t, s, "SET", "k", "v")
	if got := must(ctx, t, s, "MGET", "k", "none"); len(got.([]any)) != 2 || got.([]any)[0] != "v" || got.([]any)[1] != nil {
		t.Errorf("MGET: %v", got)
	}
	if _, err := s.Do(ctx, "INCR", "k"); err == nil || !strings.Contains(err.Error(), "not an integer") {
		t.Errorf("INCR of a word: %v", err)
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if got := must(ctx, t, s, "DBSIZE"); got != int64(0) {
		t.Errorf("after a flush: %v keys", got)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Pause(); err == nil {
		t.Error("a stopped server was paused")
	}
}

func TestServer_Restart_KeepsAddressAndFiles(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	s := single(ctx, t)
	kept := single(ctx, t, "--appendonly", "yes", "--appendfsync", "always")
	for _, each := range []*redisproc.Server{s, kept} {
		must(ctx, t, each, "SET", "k", "v")
		addr, pid := each.Addr, each.PID()
		if err := each.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := each.Do(ctx, "PING"); err == nil {
			t.Error("a dead server answers")
		}
		if err := each.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if each.Addr != addr || each.PID() == pid {
			t.Errorf("%s, process %d, was %s, %d", each.Addr, each.PID(), addr, pid)
		}
	}
	if got := must(ctx, t, s, "GET", "k"); got != nil {
		t.Errorf("value after a restart: got %v", got)
	}
	if got := must(ctx, t, kept, "GET", "k"); got != "v" {
		t.Errorf("value after a restart with persistence: got %v", got)
	}
}

func TestServer_Paused_DoesNotAnswer(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	s := single(ctx, t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if reply, err := s.Do(short, "PING"); err == nil {
		t.Errorf("paused server: got reply %v, want none", reply)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	must(ctx, t, s, "PING")
}

func TestStartSingle_PortTaken_IsAnError(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	one := single(ctx, t)
	_, port, _ := strings.Cut(one.Addr, ":")
	// The last flag wins: this server finds its port taken, each time.
	two, err := redisproc.StartSingle(ctx, t.TempDir(), "--port", port)
	if err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("a second server on %s: %v, %v", one.Addr, two, err)
	}
}

func TestStartSingle_BadFlag_ReportsReason(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	if _, err := redisproc.StartSingle(ctx, t.TempDir(), "--no-such-flag", "1"); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Error(err)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	c, err := redisproc.StartCluster(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Kill() }) // some may be dead already
	if got := strings.Split(c.URL(), ","); len(got) != 3 || got[2] != c.Masters[2].Addr {
		t.Errorf("the URL is %s", c.URL())
	}
	// One key is one master's, and the others say whose.
	owners := 0
	for _, s := range c.Masters {
		if _, err := s.Do(ctx, "SET", "k", "v"); err == nil {
			owners++
		} else if !strings.Contains(err.Error(), "MOVED") {
			t.Error(err)
		}
	}
	if owners != 1 {
		t.Errorf("%d masters took the key", owners)
	}
	if err := c.Masters[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(ctx); err != nil {
		t.Error(err)
	}
}

func TestCluster_MasterKilled_ReplicaTakesOver(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	c, err := redisproc.StartReplicated(ctx, t.TempDir(), 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Kill() }) // one is dead already
	if err := c.Masters[1].Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		role, err := c.Replicas[1].Do(ctx, "ROLE")
		if err != nil {
			t.Fatal(err)
		}
		if role.([]any)[0] == "master" {
			break
		}
	}
}

func TestStartSingle_NotInstalled_NamesInstallCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := redisproc.StartSingle(t.Context(), t.TempDir())
	if !errors.Is(err, redisproc.ErrMissing) || !strings.Contains(err.Error(), "apt-get install") {
		t.Error(err)
	}
	if _, err := redisproc.StartCluster(t.Context(), t.TempDir(), 3); !errors.Is(err, redisproc.ErrMissing) {
		t.Error(err)
	}
}

func TestServer_OwnerKilled_Ends(t *testing.T) {
	t.Parallel()
	ctx := patience(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its owner's death")
	}
	owner := exec.CommandContext(ctx, os.Args[0], "own", t.TempDir())
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(rest, "Z") {
			return // ended, or a zombie of its new parent
		}
		if ctx.Err() != nil {
			t.Fatalf("process %d lives on: %s", pid, stat)
		}
	}
}
