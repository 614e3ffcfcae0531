package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/usage"
)

// TestAutoscale_InvalidNodeFlags_FailBeforeStart: one that is wrong would end each node that is started, again and again.
func TestAutoscale_InvalidNodeFlags_FailBeforeStart(t *testing.T) {
	for want, args := range map[string][]string{
		"--ack-timeot":                   {"--ack-timeot", "5s"},
		"--ack-timeout":                  {"--ack-timeout", "0s"},
		"--capacity-cpu":                 {"--capacity-cpu=-1"},
		"unexpected argument more":       {"--ack-timeout", "5s", "more"},
		"--role":                         {"--role", "all"},
		"--autoscale":                    {"--autoscale"},
		"--help":                         {"--help"},
		"--listen: is set by the target": {"--listen", "127.0.0.1:8080"},
	} {
		f := ScaleFlags{Target: "processes", Every: 5 * time.Second}
		_, err := f.Plan("scale-", args)
		var usage usage.Error
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "after --") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestPlan_NodeShutdownTimeout_IsRespected to drain.
func TestPlan_NodeShutdownTimeout_IsRespected(t *testing.T) {
	plan := func(args ...string) *ScalePlan {
		t.Helper()
		f := ScaleFlags{Target: "processes", Every: 5 * time.Second}
		p, err := f.Plan("", args)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := plan(); p.shutdownTimeout != time.Minute {
		t.Errorf("%s", p.shutdownTimeout)
	}
	if p := plan("--shutdown-timeout", "5m"); p.shutdownTimeout <= 5*time.Minute {
		t.Errorf("%s", p.shutdownTimeout)
	}
	t.Setenv("ESH3AR_SHUTDOWN_TIMEOUT", "10m")
	t.Setenv("ESH3AR_ROLE", "all") // the scaler's own, which a node does not get
	if p := plan(); p.shutdownTimeout <= 10*time.Minute {
		t.Errorf("%s", p.shutdownTimeout)
	}
}
