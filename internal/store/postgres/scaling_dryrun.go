package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// DryRun is the lease and the history of a dry run. It does not block the real lease, because it changes nothing: its
// decisions are only written to the history.
type DryRun struct{ scaling *Scaling }

var (
	_ autoscale.Lease   = (*DryRun)(nil)
	_ autoscale.History = (*DryRun)(nil)
)

// DryRun returns a dry run. Any number of them may exist.
func (s *Scaling) DryRun() *DryRun { return &DryRun{s} }

var dryRunScaling = statement{"rehearse_scaling", `WITH trimmed AS (DELETE FROM scaling_diary WHERE number <= (SELECT max(number) FROM scaling_diary) - $2::bigint)
	INSERT INTO scaling_diary (entry) VALUES ($1::jsonb)`}

// Acquire implements autoscale.Lease. It always succeeds.
func (*DryRun) Acquire(_ context.Context, holder string, _ time.Duration) (autoscale.Term, error) {
	return autoscale.Term{Leader: true, Holder: holder}, nil
}

// Release implements autoscale.Lease.
func (*DryRun) Release(context.Context, autoscale.Term) error { return nil }

// Guard implements autoscale.Lease. A dry run has no effects.
func (*DryRun) Guard(context.Context, autoscale.Term, func(context.Context) error) error {
	return autoscale.ErrFenced
}

// Load implements autoscale.History. A dry run starts without state.
func (*DryRun) Load(context.Context) ([]byte, error) { return nil, nil }

// Write implements autoscale.History. It does not store the state.
func (r *DryRun) Write(ctx context.Context, _ autoscale.Term, e *autoscale.Entry, _ []byte) error {
	entry, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.scaling.store.exec(ctx, dryRunScaling, entry, int64(historyLimit))
	return err
}

// History implements autoscale.History.
func (r *DryRun) History(ctx context.Context, before int64, limit int) ([]autoscale.Entry, error) {
	return r.scaling.History(ctx, before, limit)
}
