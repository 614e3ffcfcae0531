package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// database starts a PostgreSQL for one test.
func database(t *testing.T) *pgproc.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := pgproc.Start(ctx, pgproc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// join starts another node on the database of p.
func (p *platform) join(more ...string) *platform {
	p.t.Helper()
	listen, err := nodeproc.FreePort()
	if err != nil {
		p.t.Fatal(err)
	}
	other := &platform{t: p.t, dataDir: p.t.TempDir(), listen: listen, flags: slices.Concat(p.flags, more), secrets: p.secrets}
	other.start()
	p.t.Cleanup(func() { _ = other.node.Kill() })
	return other
}

// TestNodes_SharedDatabase_DeliverForEachOther calls one node while the phone is connected to another.
func TestNodes_SharedDatabase_DeliverForEachOther(t *testing.T) {
	t.Parallel()
	url := database(t).URL("postgres")
	a := start(t, append(unhurried, "--database-url", url)...)
	b := a.join()
	ph := newPhone(b, alice, "a", "none")
	var sent []message
	for i := range 20 {
		sent = append(sent, a.send(alice, fmt.Sprint(i), "normal"))
	}
	ph.await(20)
	if got := ids(ph.got); !slices.Equal(got, ids(sent)) {
		t.Errorf("order: %v", contents(ph.got))
	}
	ph.invoke("AcknowledgeMessages", ids(sent))
	for _, m := range sent {
		if got := a.get(m.ID); got.Status != "delivered" {
			t.Errorf("acknowledged at one node, %s at the other", got.Status)
		}
	}
	if code, out, errs := esh3ar(t, "verify", "--database-url", url); code != 0 || !strings.Contains(out, "20") {
		t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
	var metrics string
	eventually(t, func() bool { // a scrape may be up to a second old
		_, metrics = b.try(http.MethodGet, "/metrics", "")
		return strings.Contains(metrics, `esh3ar_database_statement_seconds_count{statement="settle"}`)
	}, func() string { return "no statements in the metrics: " + metrics })
	if err := a.node.Kill(); err != nil { // what it had is the database's
		t.Fatal(err)
	}
	if got := b.get(sent[0].ID); got.Status != "delivered" {
		t.Errorf("%s after the other node's end", got.Status)
	}
}

// try makes one REST call and returns its answer, whatever the status.
func (p *platform) try(method, path, body string) (code int, answer string) {
	p.t.Helper()
	code, _, answer = p.ask(method, path, body, nil)
	return code, answer
}

// ask is try with headers; an empty one is left out.
func (p *platform) ask(method, path, body string, headers map[string]string) (code int, header http.Header, answer string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.node.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.APIKey)
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := patient.Do(req)
	if err != nil {
		p.t.Error(err)
		return 0, nil, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Error(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// patient is a client with the timeout of a typical business.
var patient = http.Client{Timeout: 30 * time.Second}

// TestAPIKey_DatabaseAway_IsNotRejected checks that a node which cannot look up a key during a database outage answers
// 503 or its equivalent on every interface, not 401: clients give up after a 401. The detail says why, and what still works.
func TestAPIKey_DatabaseAway_IsNotRejected(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/messages", "/business-user/negotiate?negotiateVersion=1"} {
		if code, body := p.try(http.MethodPost, path, "{}"); code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", path, code, body)
		} else if path == "/v1/messages" && (!strings.Contains(body, "has not verified this API key") || !strings.Contains(body, `"code":"store_unavailable"`)) {
			t.Errorf("%s: got %s, want store_unavailable with a detail about the key", path, body)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		code, _ := p.try(http.MethodPost, "/business-user/negotiate?negotiateVersion=1", "")
		return code == http.StatusOK
	}, func() string { return "it is not let in when the database is back" })
}
