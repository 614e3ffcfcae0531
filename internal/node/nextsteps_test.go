package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/auth"
)

// TestNextSteps_SecondNode_NamesNoSecretsFile: the secrets are with the first node of a cluster.
func TestNextSteps_SecondNode_NamesNoSecretsFile(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(first, auth.BootstrapFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]string{
		first:  {"second terminal:\n", "listen --phone +967771234567 --data-dir " + quote(first), "send --to +967771234567 --text 'Hello from Esh3arTech' --data-dir " + quote(first)},
		second: {"second terminal, with the secrets of the first node:\n", "listen --phone +967771234567 --admin-token TOKEN\n", "send --to +967771234567 --text 'Hello from Esh3arTech' --api-key KEY\n"},
	} {
		var out bytes.Buffer
		nextSteps{self: "esh3ar", url: DefaultURL, dataDir: dir, token: "x"}.print(&out)
		for _, part := range want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%q is not in %s", part, out.String())
			}
		}
	}
}

// TestShowsSecrets_Terminal_Always: a terminal shows them whatever the address and systemd.
func TestShowsSecrets_Terminal_Always(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "8:1")
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config := Config{Listen: "0.0.0.0:8080"}
	if !config.showsSecrets(terminal) {
		t.Error("on a terminal: got false, want true")
	}
	if config.showsSecrets(file) {
		t.Error("in a file, on all addresses: got true, want false")
	}
}
