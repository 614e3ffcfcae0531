package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetrics_AreClean checks the metrics of nodes and of a gateway by the rules of promtool check metrics: with its linter, and with
// promtool itself if it is on the PATH (Debian package prometheus).
func TestMetrics_AreClean(t *testing.T) {
	t.Parallel()
	server := database(t)
	embedded, shared := start(t), start(t, "--database-url", server.URL("postgres"), "--redis-url", redisServer(t).URL())
	gateway := startGateway(t, embedded.secrets, "--nodes", embedded.node.URL)
	gateway.awaitNodes(1)
	for name, p := range map[string]*platform{"embedded": embedded, "database": shared, "gateway": gateway} {
		p.send(alice, "counted", "normal")
		if p != gateway {
			eventually(t, func() bool { return p.metricOr("esh3ar_undelivered_messages", -1) >= 0 }, func() string { return "nothing is counted" })
		}
		code, text := p.try(http.MethodGet, "/metrics", "")
		if code != http.StatusOK || !strings.Contains(text, "esh3ar_build_info{") {
			t.Fatalf("%s: %d", name, code)
		}
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s: %s", name, problem.Metric, problem.Text)
		}
		checkWithPromtool(t, name, text)
	}
}

func checkWithPromtool(t *testing.T, name, text string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: promtool check metrics: got %v and %q, want nothing", name, err, out)
	}
}
