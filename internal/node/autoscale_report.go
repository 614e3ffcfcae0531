package node

import (
	"context"
	"slices"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// scalerReport reports how the cluster scales: decisions from the database, and the current observation if the deciding scaler runs in
// this process.
type scalerReport struct {
	shared *postgres.Scaling
	node   *node
}

// scalerReport returns nil if the store is embedded.
func (n *node) scalerReport() httpapi.Scaler {
	if n.store.Shared == nil {
		return nil
	}
	return scalerReport{n.store.Shared.Scaling(), n}
}

// Status implements httpapi.Scaler.
func (r scalerReport) Status(ctx context.Context) (httpapi.ScalerStatus, error) {
	var now httpapi.ScalerStatus
	var err error
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

// lookBack is how many of the newest decisions are searched for one that is not of a dry run.
const lookBack = 50

// Decisions implements httpapi.Scaler.
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

// scaling returns the status of the scaler of this process; the zero status without one.
func (c *cluster) scaling() autoscale.Status {
	if c == nil || c.scaler == nil {
		return autoscale.Status{}
	}
	return c.scaler.Status()
}
