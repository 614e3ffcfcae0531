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

// maintenance contains the breaker of the store, the log of its outages, and the background work on it.
type maintenance struct {
	breaker      *breaker.Breaker
	retentionJob *retention.Janitor
	outage       *outageLog // of the store
	backlog      *backlogCounter
}

func (n *node) openMaintenance() {
	n.backlog = &backlogCounter{store: n.store}
	n.outage = &outageLog{log: n.log, begun: "the store does not answer", ended: "the store answers"}
	if n.store.Shared != nil {
		n.outage.begun = "the database does not answer; calls are kept on this node's disk and go to it when it does"
		n.outage.ended = "the database answers"
		n.outage.more = func() []any {
			return []any{"spill", SpillFolder(n.config.DataDir), "messages in the spill", n.spilling.messages()}
		}
	}
	n.breaker = breaker.New("store", breaker.Options{OnChange: n.storeBreakerChanged})
	n.retentionJob = retention.New(n.store, retention.Options{KeepMessages: n.config.KeepMessages, KeepEvents: n.config.KeepEvents, Retention: n.retention, Log: n.log})
}

// retention returns how long messages are kept, by business, where a plan differs from --keep-messages.
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

// dependencies returns the breakers of the store and of Redis.
func (n *node) dependencies() []*breaker.Breaker {
	if n.cluster == nil {
		return []*breaker.Breaker{n.breaker}
	}
	return []*breaker.Breaker{n.breaker, n.cluster.breaker}
}

// breakerChanged logs at debug level, since the breaker of an unavailable dependency opens and half-opens every second. outageLog and
// redisChanged report an outage once.
func (n *node) breakerChanged(s breaker.Status) {
	n.log.Debug("circuit breaker", "dependency", s.Name, "state", s.State, "failures", s.Failures)
}

// storeBreakerChanged also wakes the drain of the spill when the store answers other calls.
func (n *node) storeBreakerChanged(s breaker.Status) {
	n.breakerChanged(s)
	n.outage.report("breaker", s.State != "closed")
	n.spilling.wake()
}

// deviceChanged logs the id of a device. It does not log the phone number, which is personal data.
func (n *node) deviceChanged(info delivery.BreakerInfo) {
	n.log.Info("circuit breaker", "device", info.ID, "state", info.State, "failures", info.Failures)
}

// rules returns the rules of delivery: timeouts, attempts, pauses.
func (c *Config) rules() delivery.Rules {
	return delivery.Rules{
		AckTimeout: c.AckTimeout, Attempts: c.RetryAttempts, Backoff: flow.Backoff{Base: c.RetryBase, Cap: c.RetryCap},
		Breaker: delivery.BreakerRules{Pause: flow.Backoff{Base: c.RetryBase, Cap: c.RetryCap}},
	}
}

// shownDevices bounds the devices that GET /admin/v1/breakers lists.
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
