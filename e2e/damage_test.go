package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// damagedTable stops a node whose messages are in tables and damages a block of the largest of them.
func damagedTable(t *testing.T) (p *platform, table string) {
	t.Helper()
	p = start(t)
	for range 40 {
		p.send(alice, strings.Repeat("0123456789abcdef", 200), "normal")
	}
	if err := p.node.Kill(); err != nil { // the next start makes a table of the log
		t.Fatal(err)
	}
	p.start()
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(p.dataDir, "store", "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no table: %v", err)
	}
	size := func(name string) int64 { info, err := os.Stat(name); _ = err; return info.Size() }
	table = slices.MaxFunc(names, func(a, b string) int { return int(size(a) - size(b)) })
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		text[len(text)/3+i] ^= 0x5a
	}
	if err := os.WriteFile(table, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p, filepath.Base(table)
}

// TestDamagedBlock_Verify_IsOneLine that names file and offset and says what to do.
func TestDamagedBlock_Verify_IsOneLine(t *testing.T) {
	t.Parallel()
	p, table := damagedTable(t)
	code, out, errs := esh3ar(t, "verify", "--data-dir", p.dataDir)
	if code != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("code %d, %d lines, want one:\n%s%s", code, strings.Count(errs, "\n"), out, errs)
	}
	for _, word := range []string{table, " at offset ", "restore a backup"} {
		if !strings.Contains(errs, word) {
			t.Errorf("%q does not say %q", errs, word)
		}
	}
}

// TestDamagedBlock_Serve_IsNotReady once a reader has met it, and logs it once.
func TestDamagedBlock_Serve_IsNotReady(t *testing.T) {
	t.Parallel()
	p, table := damagedTable(t)
	p.node = awaitProcess(t, nodeproc.Config{Binary: binary, DataDir: p.dataDir, Listen: p.listen, Until: "/livez"})
	for range 3 {
		p.try(http.MethodGet, "/v1/messages?limit=100", "")
	}
	eventually(t, func() bool { code, _ := p.readyz(); return code == http.StatusServiceUnavailable }, func() string { return "it is ready" })
	if _, body := p.readyz(); !strings.Contains(body, table) || !strings.Contains(body, "restore a backup") || !strings.Contains(body, "at offset") {
		t.Errorf("readyz: %s", body)
	}
	if got := p.metric("esh3ar_disk_damaged_places"); got < 1 {
		t.Errorf("%v damaged places", got)
	}
	log := p.node.Stderr.String()
	if strings.Count(log, "level=ERROR") > 2 || !strings.Contains(log, table) || strings.Contains(log, "withstack") {
		t.Errorf("the log:\n%s", log)
	}
}
