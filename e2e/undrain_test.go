package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestUndrain_NodeTakesCallsAgain: what the command has a node do is undone by the same command, streams of events included.
func TestUndrain_NodeTakesCallsAgain(t *testing.T) {
	t.Parallel()
	p := start(t)
	tell := func(args ...string) {
		t.Helper()
		if code, out, errs := esh3ar(t, append([]string{"drain", "--url", p.node.URL, "--data-dir", p.dataDir}, args...)...); code != 0 {
			t.Fatalf("%v: %d %s%s", args, code, out, errs)
		}
	}
	for range 2 {
		ended := make(chan error, 1)
		go func() { ended <- p.stream(t.Context()) }()
		tell()
		eventually(t, func() bool {
			code, body := p.readyz()
			return code == http.StatusServiceUnavailable && strings.Contains(body, "an operator asked")
		},
			func() string { return "it is ready" })
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("the stream does not end")
		}
		tell("--undrain")
		eventually(t, func() bool { code, _ := p.readyz(); return code == http.StatusOK }, func() string { return "it is not ready again" })
		ctx, cancel := context.WithCancel(t.Context())
		open := make(chan error, 1)
		go func() { open <- p.stream(ctx) }()
		p.send(alice, "again", "normal")
		select {
		case err := <-open:
			t.Errorf("a stream ends though nothing drains: %v", err)
		case <-time.After(100 * time.Millisecond): // it would end at once
		}
		cancel()
		<-open
	}
	if code, _, errs := esh3ar(t, "drain", "--url", p.node.URL, "--data-dir", p.dataDir, "nobody"); code != 2 || !strings.Contains(errs, "no node nobody; there are ") {
		t.Errorf("a node that is not there: %d %s", code, errs)
	}
	tell()
	if err := p.node.Stop(); err != nil {
		t.Errorf("a node that drains does not end: %v", err)
	}
}

// stream follows the events until the node ends the stream, or ctx ends.
func (p *platform) stream(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.node.URL+"/v1/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
	}
	return lines.Err()
}

// TestDatabaseAway_Log_HasOneLineAtEachEnd however long it lasts and however many parts ask in vain.
func TestDatabaseAway_Log_HasOneLineAtEachEnd(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"))
	newPhone(p, bob, "b", "each")
	p.send(bob, "first", "normal")
	before := len(p.node.Stderr.String())
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two", "three"} {
		p.offer(alice, content, "")
	}
	eventually(t, func() bool {
		for _, path := range []string{"/v1/messages", "/v1/usage", "/v1/dead-letters"} {
			p.try(http.MethodGet, path, "")
		}
		p.offer(alice, "more", "")
		return p.metric("esh3ar_spill_rounds_failed_total") >= 12
	}, func() string { return "the drain does not ask" })
	restart(t, server)
	p.drained()
	p.awaitLine("the database answers")
	var log string
	for line := range strings.Lines(p.node.Stderr.String()[before:]) {
		if !strings.Contains(line, "slow statement") { // a busy machine, not the outage
			log += line
		}
	}
	if lines := strings.Count(log, "\n"); lines != 2 || strings.Count(log, "the database does not answer") != 1 || strings.Count(log, "the database answers") != 1 {
		t.Errorf("%d lines, want one at the beginning and one at the end:\n%s", lines, log)
	}
}
