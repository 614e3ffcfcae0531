package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// combinations are transport and protocol together.
var combinations = []string{
	"WebSockets/json", "WebSockets/messagepack", "ServerSentEvents/json", "LongPolling/json", "LongPolling/messagepack",
}

// outcome is a line of the program that drives a client: what one case came to, or the end of it all.
type outcome struct {
	Transport, Protocol, Name string
	Error                     *string
	Milliseconds              int
	Done                      bool
}

// TestClients connects every generation of Microsoft's client, each a Node process that runs all cases it is fit for with
// every transport and protocol.
func TestClients(t *testing.T) {
	t.Parallel()
	needsClients(t)
	w := newFixture(t)
	for _, client := range []string{"1.1", "3.0", "3.1", "5", "6", "7", "8", "9", "10"} {
		t.Run("signalr-"+client, func(t *testing.T) {
			t.Parallel()
			report(t, node(t, "run.mjs", "signalr-"+client, w.url, strings.Join(combinations, ",")))
		})
	}
}

// TestIndependentClient connects an implementation that shares no code with Microsoft's.
func TestIndependentClient(t *testing.T) {
	needsClients(t)
	report(t, node(t, "ngx.mjs", newFixture(t).url))
}

// needsClients fails with what to do where the clients are not installed; the quick loop goes without.
func needsClients(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Node and the clients")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is missing; run: make deps")
	}
	if err := exec.Command("test", "-d", "clients/node_modules/signalr-10").Run(); err != nil {
		t.Fatal("the clients are missing; run: make deps")
	}
}

// node runs a program of the folder clients and returns the cases it has run.
func node(t *testing.T, program string, args ...string) []outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{program}, args...)...)
	cmd.Dir = "clients"
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cases := outcomes(t, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s broke off: %v\n%s", program, err, complaints.String())
	}
	return cases
}

// outcomes reads what a driver says, to its last line.
func outcomes(t *testing.T, from io.Reader) (cases []outcome) {
	t.Helper()
	done := false
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Errorf("the driver says %s", lines.Bytes())
			continue
		}
		if o.Done {
			done = true
			continue
		}
		cases = append(cases, o)
	}
	if !done {
		t.Errorf("the driver broke off after %d cases", len(cases))
	}
	return cases
}

// report makes a test of each case.
func report(t *testing.T, cases []outcome) {
	t.Helper()
	for _, o := range cases {
		t.Run(o.Transport+"/"+o.Protocol+"/"+strings.ReplaceAll(o.Name, "/", " "), func(t *testing.T) {
			t.Logf("%d ms", o.Milliseconds)
			if o.Error != nil {
				t.Error(*o.Error)
			}
		})
	}
	if len(cases) == 0 {
		t.Error("no case ran")
	}
}
