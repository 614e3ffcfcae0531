package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherStore_MessagesWait_IsRefused in both directions, with one line and exit code 2, until the operator says so.
func TestOtherStore_MessagesWait_IsRefused(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t)
	p.send(alice, "waits", "normal")
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	change := func(want string, flags ...string) {
		t.Helper()
		code, _, errs := esh3ar(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--data-dir", p.dataDir}, flags...)...)
		if code != 2 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) || strings.Contains(errs, "secret") {
			t.Errorf("code %d, %s, want 2 and one line with %q", code, errs, want)
		}
	}
	postgres := server.URL("postgres")
	change("holds 1 undelivered and 0 scheduled messages", "--database-url", postgres)
	p.flags = []string{"--database-url", postgres, "--abandon-other-store"}
	p.start()
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.dataDir, "database")); err != nil {
		t.Error(err)
	}
	change("was used with the database")
	p.flags = []string{"--abandon-other-store"}
	p.start() // the message is still there
	ph := newPhone(p, alice, "a", "each")
	ph.await(1)
	p.awaitStatus(ph.got[0].ID, "delivered")
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	p.flags = []string{"--database-url", postgres} // nothing waits any more
	p.start()
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
}
