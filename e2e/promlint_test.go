package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetrics_AreClean by the rules of promtool check metrics, which runs the same linter.
func TestMetrics_AreClean(t *testing.T) {
	t.Parallel()
	server := database(t)
	for name, p := range map[string]*platform{"embedded": start(t), "database": start(t, "--database-url", server.URL("postgres"))} {
		p.send(alice, "counted", "normal")
		eventually(t, func() bool { return p.metricOr("esh3ar_undelivered_messages", -1) >= 0 }, func() string { return "nothing is counted" })
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
	}
}
