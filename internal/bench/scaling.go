package bench

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// reportScaling adds the totals of messages and nodes to the report.
func (r *run) reportScaling(s *scaled, c *sampler) {
	there, missing := s.sender.arrived()
	last, most, offered := c.last(), c.maxNodes(), rampShares[2]*r.Capacity
	for _, row := range []struct {
		what  string
		value float64
		unit  string
	}{
		{"capacity of a node, declared", r.Capacity, "messages/s"},
		{"offered at most, open loop", offered, "messages/s"},
		{"nodes at most", float64(most), ""},
		{"nodes at the end", float64(last.nodes + last.draining), ""},
		{"messages due", float64(last.due), ""},
		{"taken: answered 202", float64(there + missing), ""},
		{"taken and arrived", float64(there), ""},
		{"lost", float64(missing), ""},
		{"out of order", float64(s.disorder.Load()), ""},
		{"never taken", float64(last.due - there - missing), ""},
		{"answers of unknown outcome", float64(s.sender.unknown.Load()), ""},
		{"phones sent to another node", float64(s.phones.moved.Load()), ""},
	} {
		r.report.add(Autoscale, row.what, row.value, row.unit)
	}
	reasons := s.sender.reasons()
	for _, code := range slices.Sorted(maps.Keys(reasons)) {
		r.report.add(Autoscale, "answered "+code, float64(reasons[code]), "")
	}
	r.budgets(&s.scenarioRun, Autoscale, "")
	r.judge(Autoscale, s.ledger, s.ledger.verdict(missing))
	if most < 2 {
		r.fault(Autoscale, "no node was added")
	}
	if left := last.nodes + last.draining; left != 1 {
		r.fault(Autoscale, fmt.Sprintf("%s left %s after the last call, want 1 node", count(left), calmWithin))
	}
	r.report.Notes = append(r.report.Notes, "autoscale: calls have keys, and what is refused is sent again when the answer says so, until it is taken")
	r.report.Series = append(r.report.Series, c.series()...)
	r.report.Texts = append(r.report.Texts, Text{"The course", c.course()})
}

// reportScalerLog adds the decisions of the scaler, as its command prints them.
func (r *run) reportScalerLog(ctx context.Context, s *scaled) error {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, r.Binary, "scaler", "--history", "--limit", "500", "--database-url", s.postgres.URL("postgres"))
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read the scaler's history: %w %s", err, errs.String())
	}
	r.report.Texts = append(r.report.Texts, Text{"Scaler history", strings.Split(strings.TrimSpace(string(out)), "\n")})
	return nil
}
