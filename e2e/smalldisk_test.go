package e2e

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// smallDisk mounts a file system of its own. Only root may do that; others have the same decisions tested by package diskguard.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill sends until the node refuses, and returns its answer.
func (p *platform) fill() string {
	p.t.Helper()
	for i := range 20000 {
		text := ""
		for range 60 { // nothing that the tables could compress
			text += rand.Text() + rand.Text()
		}
		status, _, body := p.tryKeyed(fmt.Sprintf("+9677%08d", i*7919%100_000_000), text, "")
		if status != http.StatusAccepted {
			return fmt.Sprint(status, " ", body)
		}
	}
	return "never refused"
}

// awaitLines waits until at least n lines of the log have a text.
func (p *platform) awaitLines(text string, n int) {
	p.t.Helper()
	eventually(p.t, func() bool { return strings.Count(p.node.Stderr.String(), text) >= n }, func() string {
		return fmt.Sprintf("no %d lines with %q for the operator:\n%s", n, text, p.node.Stderr)
	})
}

func (p *platform) readyz() (int, string) { p.t.Helper(); return p.try(http.MethodGet, "/readyz", "") }

// TestSmallDisk_ReserveReached_IsReportedAndLeft fills a real file system several times. Messages are refused, every
// health signal reports the reason, the process continues, and it accepts messages again when space is free.
func TestSmallDisk_ReserveReached_IsReportedAndLeft(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "96m")
	ballast := func(i int) string { return filepath.Join(dir, fmt.Sprint("ballast", i)) }
	const rounds = 3
	for i := range rounds {
		if err := os.WriteFile(ballast(i), make([]byte, 24<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, dataDir: filepath.Join(dir, "data"), listen: listen}
	p.start()
	t.Cleanup(func() { _ = p.node.Kill() })
	if p.secrets, err = nodeproc.ReadSecrets(p.dataDir); err != nil {
		t.Fatal(err)
	}
	if free, reserve := p.metric("esh3ar_disk_free_bytes"), p.metric("esh3ar_disk_reserve_bytes"); reserve != 12<<20 || free < reserve || free > 24<<20 {
		t.Errorf("free %v, reserve %v", free, reserve)
	}
	for i := range rounds {
		if got := p.fill(); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "storage_full") {
			t.Fatalf("round %d: got %s, want 503 storage_full\n%s", i, got, p.node.Stderr)
		}
		eventually(t, func() bool {
			code, _ := p.readyz()
			return code == http.StatusServiceUnavailable || p.metric("esh3ar_disk_reserve_reached") == 0
		},
			func() string { return "it is ready and takes nothing" })
		p.awaitLines("the disk is nearly full; new messages are rejected", i+1)
		if err := os.Remove(ballast(i)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { code, _ := p.readyz(); return code == http.StatusOK }, func() string { return "it is not ready again" })
		p.awaitLines("the disk has room again", i+1)
		p.send(alice, "room again", "normal")
	}
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := esh3ar(t, "verify", "--data-dir", p.dataDir); code != 0 {
		t.Errorf("verify: %d %s%s", code, out, errs)
	}
}

// TestSmallDisk_FullAtTheStart_IsNotCalledReady checks that the printed state equals that of /readyz.
func TestSmallDisk_FullAtTheStart_IsNotCalledReady(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "96m")
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, listen: listen}
	p.node = awaitProcess(t, nodeproc.Config{Binary: binary, DataDir: dir, Listen: listen, Flags: []string{"--disk-reserve", "95MiB"}, Until: "/livez"})
	t.Cleanup(func() { _ = p.node.Kill() })
	eventually(t, func() bool { return strings.Contains(p.node.Stdout.String(), "Not ready: ") }, func() string { return p.node.Stdout.String() })
	if out := p.node.Stdout.String(); strings.Contains(out, "Ready on") || !strings.Contains(out, "95 MiB are reserved (--disk-reserve)") {
		t.Errorf("printed %s", out)
	}
	if code, body := p.readyz(); code != http.StatusServiceUnavailable || !strings.Contains(body, `"storage_full"`) || !strings.Contains(body, "--disk-reserve") {
		t.Errorf("readyz: %d %s", code, body)
	}
}

// TestSmallDisk_ThatCanNeverWork_IsRefused at the start, by the name of the flag.
func TestSmallDisk_ThatCanNeverWork_IsRefused(t *testing.T) {
	t.Parallel()
	refused(t, "--disk-reserve: 1 GiB are reserved, but the volume", "--listen", "127.0.0.1:0", "--data-dir", smallDisk(t, "96m"), "--disk-reserve", "1GiB")
	refused(t, "at least 64 MiB", "--listen", "127.0.0.1:0", "--data-dir", smallDisk(t, "16m"))
}
