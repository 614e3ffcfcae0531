package node

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// TestLimitWatch_Refusals_LogBeginAndEnd counts lines: refusals come by the million.
func TestLimitWatch_Refusals_LogBeginAndEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now, count := time.Unix(1_800_000_000, 0), uint64(7)
	w := limitWatch{
		log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now },
		limits: []limitCount{
			{limit: "streams", metric: "esh3ar_streams", refused: func() uint64 { return count }, seen: 7},
			{limit: "other", metric: "m", refused: func() uint64 { return 0 }},
		},
	}
	lines := func(want ...string) {
		t.Helper()
		got := strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
		out.Reset()
		if len(got) != len(want) {
			t.Fatalf("got lines %q, want %d with %q", got, len(want), want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("got %q, want %q in it", got[i], want[i])
			}
		}
	}
	w.look()
	lines()
	count += 3
	w.look()
	lines(`level=WARN msg="a limit is reached; docs/security.md says what is refused or closed" limit=streams count=3 metric=esh3ar_streams`)
	for range 100 { // a long attack, with pauses that are shorter than limitQuiet
		now = now.Add(limitQuiet / 2)
		count += 10
		w.look()
	}
	lines()
	now = now.Add(limitQuiet - 1)
	w.look()
	lines()
	now = now.Add(1)
	w.look()
	lines(`level=INFO msg="a limit is no longer reached" limit=streams count=1003 for=50m0s`)
	now = now.Add(limitQuiet)
	w.look()
	lines()
	count++
	w.look()
	lines("count=1 ")
}

// TestHubCounts_Names_AreMetricsOfHubs: a name that no hub has would count nothing, and its limit would never be logged.
func TestHubCounts_Names_AreMetricsOfHubs(t *testing.T) {
	t.Parallel()
	server := signalr.NewServer(signalr.NewHub(), signalr.Options{Pollers: -1})
	for _, name := range []string{refusedConnections, unreadConnections} {
		if !slices.ContainsFunc(server.Metrics(), func(m signalr.Metric) bool { return m.Name == name }) {
			t.Errorf("got no metric %s of a hub, want one", name)
		}
	}
}
