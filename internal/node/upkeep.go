package node

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/retention"
)

// upkeep is what keeps the node well: the breaker before its store, and the janitor.
type upkeep struct {
	breaker *breaker.Breaker
	janitor *retention.Janitor
	outage  *outage // of the store
	backlog *backlogCounter
}

func (n *node) openUpkeep() {
	n.backlog = &backlogCounter{store: n.store}
	n.outage = &outage{log: n.log, begun: "the store does not answer", ended: "the store answers"}
	if n.store.Shared != nil {
		n.outage.begun = "the database does not answer; calls are kept on this node's disk and go to it when it does"
		n.outage.ended = "the database answers"
		n.outage.more = func() []any {
			return []any{"spill", SpillFolder(n.config.DataDir), "messages in the spill", n.spilling.messages()}
		}
	}
	n.breaker = breaker.New("store", breaker.Options{OnChange: n.storeBreakerChanged})
	n.janitor = retention.New(n.store, retention.Options{KeepMessages: n.config.KeepMessages, KeepEvents: n.config.KeepEvents, Retention: n.retention, Log: n.log})
}

// retention is what plans say of how long messages are kept.
func (n *node) retention(ctx context.Context) (map[esh3ar.BusinessID]time.Duration, error) {
	others := map[esh3ar.BusinessID]time.Duration{}
	for _, plan := range n.plans.All() {
		if plan.Retention == 0 {
			continue
		}
		holders, err := n.store.BusinessesWithPlan(ctx, plan.Name)
		if err != nil {
			return nil, err
		}
		for _, business := range holders {
			others[business] = plan.Retention
		}
	}
	return others, nil
}

// dependencies are the breakers before what this node cannot do without, or does worse without.
func (n *node) dependencies() []*breaker.Breaker {
	if n.cluster == nil {
		return []*breaker.Breaker{n.breaker}
	}
	return []*breaker.Breaker{n.breaker, n.cluster.breaker}
}

// breakerChanged logs at debug level: while a dependency is away its breaker opens and half opens every second. outage and
// redisChanged report the outage, once.
func (n *node) breakerChanged(s breaker.Status) {
	n.log.Debug("circuit breaker", "dependency", s.Name, "state", s.State, "failures", s.Failures)
}

// storeBreakerChanged also tells the drain of the spill: a store that answers others will answer it.
func (n *node) storeBreakerChanged(s breaker.Status) {
	n.breakerChanged(s)
	n.outage.report("breaker", s.State != "closed")
	n.spilling.wake()
}

// deviceChanged logs which device it is and not whose: a phone number has no business in a log.
func (n *node) deviceChanged(info delivery.BreakerInfo) {
	n.log.Info("circuit breaker", "device", info.ID, "state", info.State, "failures", info.Failures)
}

// rules are what phones are delivered to by.
func (c *Config) rules() delivery.Rules {
	return delivery.Rules{
		AckTimeout: c.AckTimeout, Attempts: c.RetryAttempts, Backoff: flow.Backoff{Base: c.RetryBase, Cap: c.RetryCap},
		Breaker: delivery.BreakerRules{Pause: flow.Backoff{Base: c.RetryBase, Cap: c.RetryCap}},
	}
}

// shownDevices bounds what GET /admin/v1/breakers lists.
const shownDevices = 1000

func (n *node) breakerReport() httpapi.BreakerReport {
	list, open, halfOpen := n.engine.Breakers(shownDevices)
	report := httpapi.BreakerReport{
		DevicesOpen: open + halfOpen,
	}
	for _, b := range n.dependencies() {
		s := b.Status()
		report.Dependencies = append(report.Dependencies, httpapi.DependencyBreaker{
			Name: s.Name, State: s.State, Since: esh3ar.TimeOf(s.Since), Failures: int(s.Failures),
		})
	}
	for _, d := range list {
		one := httpapi.DeviceBreaker{Recipient: d.Recipient, Device: d.ID, State: d.State.String(), Failures: d.Failures}
		if d.State == delivery.Open {
			one.Until = esh3ar.TimeOf(d.OpensAt)
		}
		report.Devices = append(report.Devices, one)
	}
	return report
}
