package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestOutage_SeveralParts_OneLineEach for the beginning and the end, whatever the parts notice in between.
func TestOutage_SeveralParts_OneLineEach(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := &outageLog{log: slog.New(slog.NewTextHandler(&log, nil)), begun: "begun", ended: "ended", more: func() []any { return []any{"spill", "d"} }}
	o.report("breaker", false) // nothing has happened yet
	for range 3 {
		o.report("breaker", true)
		o.report("intake", true)
		o.report("breaker", true)
	}
	o.report("intake", false)
	o.report("intake", true)
	o.report("breaker", false)
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "level=WARN msg=begun spill=d") {
		t.Fatalf("while it lasts: %s", log.String())
	}
	o.report("intake", false)
	o.report("intake", false)
	if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "level=INFO msg=ended spill=d after=") {
		t.Errorf("after it: %s", log.String())
	}
}
