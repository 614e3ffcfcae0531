package node

import (
	"context"
	"slices"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// scalerReport tells how the cluster scales itself: what is shared from the database, and what only the one that decides knows
// where that is in this process.
type scalerReport struct {
	shared *postgres.Scaling
	node   *node
}

// scalerReport is nil where nothing is shared.
func (n *node) scalerReport() httpapi.Scaler {
	if n.store.Shared == nil {
		return nil
	}
	return scalerReport{n.store.Shared.Scaling(), n}
}

// Status realises httpapi.Scaler.
func (r scalerReport) Status(ctx context.Context) (now httpapi.ScalerStatus, err error) {
	if now.Holder, err = r.shared.Holder(ctx); err != nil {
		return now, err
	}
	own := r.node.cluster.scaling()
	now.Fault, now.Here = own.Fault, own.Mine && own.Holder == now.Holder
	if now.Here && own.Decision != nil {
		entry := entryReport(own.Decision)
		now.Decision = &entry
		return now, nil
	}
	newest, err := r.Decisions(ctx, 0, lookBack)
	if len(newest) > 0 {
		done := slices.IndexFunc(newest, func(e httpapi.ScalerDecision) bool { return !e.DryRun })
		now.Decision = &newest[max(done, 0)]
	}
	return now, err
}

// lookBack is in how many lines one is looked for that is not of a dry run.
const lookBack = 50

// Decisions realises httpapi.Scaler.
func (r scalerReport) Decisions(ctx context.Context, before int64, limit int) ([]httpapi.ScalerDecision, error) {
	entries, err := r.shared.History(ctx, before, limit)
	list := make([]httpapi.ScalerDecision, len(entries))
	for i := range entries {
		list[i] = entryReport(&entries[i])
	}
	return list, err
}

func entryReport(e *autoscale.Entry) httpapi.ScalerDecision {
	return httpapi.ScalerDecision{Number: e.Number, At: e.At, By: e.By, From: e.From, To: e.To, Reason: string(e.Reason), Why: e.Why, DryRun: e.DryRun}
}

// scaling is how the scaler of this process stands; without one it is as one that decides nothing.
func (c *cluster) scaling() autoscale.Status {
	if c == nil || c.scaler == nil {
		return autoscale.Status{}
	}
	return c.scaler.Status()
}
