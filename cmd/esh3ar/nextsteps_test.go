package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
)

// printed collects what a node prints, until it is ready.
type printed struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready chan struct{} // closed when the last lines before the run of the node are there
	once  sync.Once
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Contains(b, []byte("Ready on ")) {
		p.once.Do(func() { close(p.ready) })
	}
	return p.text.Write(b)
}

// printsAtStart starts a node, stops it when it is ready, and returns what it printed.
func printsAtStart(t *testing.T, flags ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := &printed{ready: make(chan struct{})}
	ended := make(chan int, 1)
	go func() { // ends when stop is called
		ended <- run(ctx, append([]string{"serve", "--shutdown-timeout", "2s"}, flags...), p, p)
	}()
	select {
	case <-p.ready:
	case code := <-ended:
		t.Fatalf("the node ended with code %d: %s", code, p.text.String())
	case <-time.After(time.Minute): // bounds a hang
		t.Fatal("the node is not ready")
	}
	stop()
	<-ended
	return p.text.String()
}

// TestServe_Starts_PrintSecretsWhereTheyBelong: what a start prints may be kept for years by what reads its output.
func TestServe_Starts_PrintSecretsWhereTheyBelong(t *testing.T) {
	const adminToken, apiKey, link = "test-admin-token-0123456789abcdef", "test-api-key-0123456789abcdef", "/demo/#token=ey"
	const ignored = "--api-key was ignored"
	secrets := []string{"--admin-token", adminToken, "--api-key", apiKey}
	for _, c := range []struct {
		name, listen, journal string
		first, later          []string // flags of the first start without the secrets; flags of the second start
		wantSecrets           bool     // at the first start
		wantFirst, wantLater  bool     // a link with a token
	}{
		{name: "loopback", listen: "127.0.0.1:0", wantSecrets: true, wantFirst: true},
		{name: "all addresses", listen: "0.0.0.0:0"},
		{name: "journal", listen: "127.0.0.1:0", journal: "8:1"},
		{name: "demo", listen: "0.0.0.0:0", first: []string{"--demo"}, later: []string{"--demo"}, wantSecrets: true, wantFirst: true, wantLater: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("JOURNAL_STREAM", c.journal)
			dir := t.TempDir()
			flags := []string{"--data-dir", dir, "--listen", c.listen}
			first := printsAtStart(t, append(append(c.first, flags...), secrets...)...)
			later := printsAtStart(t, append(append(c.later, flags...), secrets...)...)
			for what, got := range map[string]bool{"admin token": strings.Contains(first, adminToken), "API key": strings.Contains(first, apiKey)} {
				if got != c.wantSecrets {
					t.Errorf("first start prints the %s: got %t, want %t: %s", what, got, c.wantSecrets, first)
				}
			}
			if file := filepath.Join(dir, auth.BootstrapFile); !strings.Contains(first, file) {
				t.Errorf("first start does not name %s: %s", file, first)
			}
			if got := strings.Contains(first, link); got != c.wantFirst {
				t.Errorf("first start prints a device token: got %t, want %t: %s", got, c.wantFirst, first)
			}
			if got := strings.Contains(later, link); got != c.wantLater {
				t.Errorf("second start prints a device token: got %t, want %t: %s", got, c.wantLater, later)
			}
			if strings.Contains(later, adminToken) || strings.Contains(later, apiKey) {
				t.Errorf("second start prints secrets: %s", later)
			}
			if got := strings.Count(first, ignored); got != 0 {
				t.Errorf("first start: %d lines with %q, want none", got, ignored)
			}
			if got := strings.Count(later, ignored); got != 1 {
				t.Errorf("second start: %d lines with %q, want 1: %s", got, ignored, later)
			}
		})
	}
}
