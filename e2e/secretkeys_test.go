package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// asAdmin calls the admin API with a token and returns the status.
func (p *platform) asAdmin(token string) int {
	p.t.Helper()
	code, _, _ := p.ask(http.MethodGet, "/admin/v1/nodes", "", map[string]string{"Authorization": "Bearer " + token})
	return code
}

// TestAdminToken_Rotate_ReplacesToken rotates through a running node: the new token works at once and after a restart, the previous one
// does not, and later commands find the new one.
func TestAdminToken_Rotate_ReplacesToken(t *testing.T) {
	t.Parallel()
	p := start(t)
	code, out, errs := esh3ar(t, "admin-token", "rotate", "--url", p.node.URL, "--data-dir", p.dataDir)
	token := strings.TrimSpace(out)
	if code != 0 || len(token) < 40 || token == p.secrets.AdminToken || strings.Contains(errs, token) {
		t.Fatalf("got code %d, stdout %q, stderr %q; want a new token on stdout only", code, out, errs)
	}
	eventually(t, func() bool { return p.asAdmin(p.secrets.AdminToken) == http.StatusUnauthorized }, func() string { return "the previous token is valid" })
	if got := p.asAdmin(token); got != http.StatusOK {
		t.Errorf("new token: got %d, want 200", got)
	}
	if code, _, errs := esh3ar(t, "keys", "list", "--url", p.node.URL, "--data-dir", p.dataDir); code != 0 {
		t.Errorf("a command after the rotation: got code %d and %q, want it to find the new token", code, errs)
	}
	if code, _, errs := esh3ar(t, "admin-token", "rotate", "--url", p.node.URL, "--data-dir", t.TempDir(), "--admin-token", p.secrets.AdminToken); code != 1 || !strings.Contains(errs, "admin token") {
		t.Errorf("with the previous token: got code %d and %q, want 1 and an error about the admin token", code, errs)
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	p.start()
	if before, after := p.asAdmin(p.secrets.AdminToken), p.asAdmin(token); before != http.StatusUnauthorized || after != http.StatusOK {
		t.Errorf("after a restart: got %d with the previous token and %d with the new one, want 401 and 200", before, after)
	}
}

// TestAdminToken_Reset_RecoversLostToken resets in the store of a stopped node. While the node runs, the command is refused and names
// the command for a running node.
func TestAdminToken_Reset_RecoversLostToken(t *testing.T) {
	t.Parallel()
	p := start(t)
	if code, out, errs := esh3ar(t, "admin-token", "reset", "--data-dir", p.dataDir); code == 0 || out != "" || !strings.Contains(errs, "admin-token rotate") {
		t.Errorf("beside a running node: got code %d, stdout %q, stderr %q; want an error that names admin-token rotate", code, out, errs)
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := esh3ar(t, "admin-token", "reset", "--data-dir", p.dataDir)
	token := strings.TrimSpace(out)
	if code != 0 || len(token) < 40 {
		t.Fatalf("got code %d, stdout %q, stderr %q; want a token", code, out, errs)
	}
	p.start()
	if before, after := p.asAdmin(p.secrets.AdminToken), p.asAdmin(token); before != http.StatusUnauthorized || after != http.StatusOK {
		t.Errorf("got %d with the lost token and %d with the new one, want 401 and 200", before, after)
	}
	secrets, err := nodeproc.ReadSecrets(p.dataDir)
	if err != nil || secrets.AdminToken != token || secrets.APIKey != p.secrets.APIKey {
		t.Errorf("bootstrap.json: got another admin token or API key (%v), want the new token and the same key", err)
	}
	if code, _, errs := esh3ar(t, "admin-token", "reset", "--data-dir", t.TempDir()); code != 2 || !strings.Contains(errs, "--data-dir") {
		t.Errorf("without a store: got code %d and %q, want 2 and an error that names --data-dir", code, errs)
	}
}

// TestAdminToken_ResetInDatabase_ReachesRunningNodes resets in PostgreSQL while a node runs.
func TestAdminToken_ResetInDatabase_ReachesRunningNodes(t *testing.T) {
	t.Parallel()
	url := database(t).URL("postgres")
	p := start(t, "--database-url", url)
	code, out, errs := esh3ar(t, "admin-token", "reset", "--database-url", url, "--data-dir", p.dataDir)
	token := strings.TrimSpace(out)
	if code != 0 || len(token) < 40 {
		t.Fatalf("got code %d, stdout %q, stderr %q; want a token", code, out, errs)
	}
	eventually(t, func() bool {
		return p.asAdmin(token) == http.StatusOK && p.asAdmin(p.secrets.AdminToken) == http.StatusUnauthorized
	}, func() string { return "the node does not use the new token" })
}

// TestKeys_RotateAndEnd_EndTokensAsPromised: a rotation leaves device tokens valid; the end of the key that signed them does not.
func TestKeys_RotateAndEnd_EndTokensAsPromised(t *testing.T) {
	t.Parallel()
	p := start(t)
	at := []string{"--url", p.node.URL, "--data-dir", p.dataDir}
	list := func() (ids []string, signs string) {
		code, out, errs := esh3ar(t, append([]string{"keys", "list"}, at...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || !strings.HasPrefix(lines[0], "ID") {
			t.Fatalf("keys list: got code %d, stdout %q, stderr %q", code, out, errs)
		}
		for _, line := range lines[1:] {
			fields := strings.Fields(line)
			ids = append(ids, fields[0])
			if fields[1] == "signs" && fields[2] != "from" {
				signs = fields[0]
			}
		}
		return ids, signs
	}
	before, first := list()
	token := p.token(alice, "a")
	if got := p.negotiate(token); got != http.StatusOK {
		t.Fatalf("a device token: got %d, want 200", got)
	}
	if code, _, errs := esh3ar(t, append([]string{"keys", "rotate"}, at...)...); code != 0 {
		t.Fatalf("keys rotate: got code %d and %q", code, errs)
	}
	after, _ := list()
	if len(after) != len(before)+1 {
		t.Errorf("after a rotation: got keys %q, want one more than %q", after, before)
	}
	if got := p.negotiate(token); got != http.StatusOK {
		t.Errorf("a device token after a rotation: got %d, want 200", got)
	}
	var signs string
	eventually(t, func() bool { _, signs = list(); return signs != "" && signs != first }, func() string { return "the new key does not sign" })
	if code, out, errs := esh3ar(t, append([]string{"keys", "end", first}, at...)...); code != 0 || out != "ended "+first+"\n" {
		t.Fatalf("keys end: got code %d, stdout %q, stderr %q", code, out, errs)
	}
	eventually(t, func() bool { return p.negotiate(token) == http.StatusUnauthorized }, func() string { return "a token of an ended key is valid" })
	if got := p.negotiate(p.token(alice, "a")); got != http.StatusOK {
		t.Errorf("a new device token: got %d, want 200", got)
	}
	if code, _, errs := esh3ar(t, append([]string{"keys", "end", "unknown"}, at...)...); code != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("an unknown key: got code %d and %q, want 1 and one line", code, errs)
	}
	if code, out, _ := esh3ar(t, append([]string{"keys", "list", "--public"}, at...)...); code != 0 || strings.Count(out, ",") != len(after)-2 {
		t.Errorf("public parts: got code %d and %q, want %d keys", code, out, len(after)-1)
	}
}

// negotiate negotiates as a phone and returns the status.
func (p *platform) negotiate(token string) int {
	p.t.Helper()
	code, _, _ := p.ask(http.MethodPost, "/online-mobile-user/negotiate?negotiateVersion=1", "", map[string]string{"Authorization": "Bearer " + token})
	return code
}
