package node

import (
	"testing"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// TestScalePlan_Summary_NamesRangeAndTarget: a dry run says that it does nothing.
func TestScalePlan_Summary_NamesRangeAndTarget(t *testing.T) {
	t.Parallel()
	plan := &ScalePlan{flags: &ScaleFlags{Target: "processes"}, policy: autoscale.Default()}
	if got, want := plan.Summary(), "Scaling to 1 to 10 nodes by the target processes."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	plan.flags.DryRun = true
	if got, want := plan.Summary(), "A dry run: decisions about scaling to 1 to 10 nodes by the target processes are recorded and not carried out."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
