package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/buildinfo"
)

const (
	// backlogEvery is the time between two counts. A count reads up to mostBacklog rows of each kind, so scrapes do not trigger it.
	backlogEvery = time.Minute
	mostBacklog  = 1_000_000
	backlogWait  = 30 * time.Second
)

// backlogCounter counts the undelivered messages and dead letters of the whole store, and keeps the last result.
type backlogCounter struct {
	store esh3ar.BacklogCounter
	last  atomic.Pointer[esh3ar.Backlog]
}

// run counts until ctx ends. A failed count keeps the last result; outageLog reports an outage of the store.
func (b *backlogCounter) run(ctx context.Context) error {
	tick := time.NewTicker(backlogEvery)
	defer tick.Stop()
	for {
		b.count(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *backlogCounter) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, backlogWait)
	defer cancel()
	if counted, err := b.store.Backlog(ctx, mostBacklog); err == nil {
		b.last.Store(&counted)
	}
}

var (
	undeliveredMessages = prometheus.NewDesc("esh3ar_undelivered_messages", "Messages that wait in an inbox, of the whole store; counted once a minute, up to a million.", nil, nil)
	scheduledMessages   = prometheus.NewDesc("esh3ar_scheduled_messages", "Messages that wait for their time, likewise.", nil, nil)
	deadLetterMessages  = prometheus.NewDesc("esh3ar_dead_letters", "Messages in the dead letters, likewise.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *backlogCounter) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{undeliveredMessages, scheduledMessages, deadLetterMessages} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (b *backlogCounter) Collect(metrics chan<- prometheus.Metric) {
	last := b.last.Load()
	if last == nil {
		return
	}
	for desc, n := range map[*prometheus.Desc]int{
		undeliveredMessages: last.Undelivered, scheduledMessages: last.Scheduled, deadLetterMessages: last.DeadLetters,
	} {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
	}
}

// buildInfo is a gauge of value 1 whose labels are the version, commit and Go version.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "esh3ar_build_info", Help: "1; the labels name the version, the commit and the Go version of this binary.",
		ConstLabels: prometheus.Labels{"version": buildinfo.Version, "revision": buildinfo.Commit(), "goversion": buildinfo.GoVersion()},
	}, func() float64 { return 1 })
}
