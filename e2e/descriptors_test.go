package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// TestIdleConnections_LowLimit_NodeGoesOn: connections without a credential that send one request and idle, many times as many as the
// node may have files, cost nothing but their own place: a newcomer is served, a business sends on the connection it has, the store
// flushes its memory to tables, and the node says that it comes near its limit.
func TestIdleConnections_LowLimit_NodeGoesOn(t *testing.T) {
	t.Parallel()
	const files, flood = 160, 1000
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, dataDir: t.TempDir(), listen: listen}
	p.node = awaitProcess(t, nodeproc.Config{Binary: binary, DataDir: p.dataDir, Listen: listen, Files: files})
	t.Cleanup(func() { _ = p.node.Kill() }) // at the latest
	if p.secrets, err = nodeproc.ReadSecrets(p.dataDir); err != nil {
		t.Fatal(err)
	}
	p.awaitLine("room for few connections")
	first := p.send(alice, "before", "normal")
	for i := range flood {
		idle, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { _ = idle.Close() }) // the node has closed most of them
		if _, err := fmt.Fprint(idle, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		answer := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(idle, answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("connection %d was not served: %q, %v", i, answer, err)
		}
	}
	p.awaitLine(`a limit is reached; docs/security.md says what is refused or closed" limit="connections without good credentials"`)
	text := strings.Repeat("x", 4096)
	for range 20 { // 80 MiB: more than the store keeps in memory before it writes a table
		messages := make([]map[string]string, 1000)
		for i := range messages {
			messages[i] = map[string]string{"recipientPhoneNumber": fmt.Sprintf("+9677%08d", i), "messageContent": text}
		}
		p.call(http.MethodPost, "/v1/messages/batch", p.secrets.APIKey, map[string]any{"messages": messages}, &struct{}{})
	}
	if got := p.get(first.ID); got.ID != first.ID {
		t.Errorf("the first message is %+v", got)
	}
	if closed := p.metricOr(`esh3ar_connections_closed_idle_total{limit="total"}`, 0); closed < flood-files {
		t.Errorf("%g idle connections were closed, want at least %d", closed, flood-files)
	}
	if err := p.node.Stop(); err != nil {
		t.Errorf("it does not stop in good order: %v", err)
	}
}

// TestTooFewFiles_IsRefused in one line.
func TestTooFewFiles_IsRefused(t *testing.T) {
	t.Parallel()
	_, err := nodeproc.Start(t.Context(), nodeproc.Config{Binary: binary, DataDir: t.TempDir(), Files: 64})
	if err == nil || !strings.Contains(err.Error(), "the limit of open files is 64") {
		t.Errorf("started with 64 files: %v", err)
	}
}
