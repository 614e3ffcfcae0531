package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// TestIdleConnections_LowLimitAndDatabaseAway_SpillGoesOn has a node with few files and without its database. Idle connections
// without a credential, several times as many as the node may have files, take none from the spill: every call is accepted on
// the disk of the node, and all of them reach the database when it is back.
func TestIdleConnections_LowLimitAndDatabaseAway_SpillGoesOn(t *testing.T) {
	t.Parallel()
	const files, flood, calls = 256, 800, 100
	server := database(t)
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, dataDir: t.TempDir(), listen: listen}
	p.node = awaitProcess(t, nodeproc.Config{
		Binary: binary, DataDir: p.dataDir, Listen: listen, Files: files, Flags: []string{"--database-url", server.URL("postgres")},
	})
	t.Cleanup(func() { _ = p.node.Kill() }) // at the latest
	if p.secrets, err = nodeproc.ReadSecrets(p.dataDir); err != nil {
		t.Fatal(err)
	}
	p.send(alice, "before", "normal") // the key is known now
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range flood {
		idle, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { _ = idle.Close() }) // the node has closed most of them
		answer := make([]byte, len("HTTP/1.1 200"))
		if _, err := fmt.Fprint(idle, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if _, err := io.ReadFull(idle, answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("connection %d was not served: %q, %v", i, answer, err)
		}
	}
	spilled := 0
	var taken []accepted
	for i := range calls {
		a, ok := p.offer(alice, fmt.Sprint(i), fmt.Sprint("key-", i))
		if !ok {
			t.Fatalf("call %d was not taken: %s", i, p.node.Stderr)
		}
		if a.Durability == "spilled" {
			spilled++
		}
		taken = append(taken, a)
	}
	if spilled == 0 {
		t.Error("nothing was spilled")
	}
	restart(t, server)
	p.drained()
	for i, a := range taken {
		if got := p.get(a.ID); got.ID != a.ID {
			t.Errorf("call %d is lost: %+v", i, got)
		}
	}
	if err := p.node.Stop(); err != nil {
		t.Errorf("it does not stop in good order: %v", err)
	}
}
