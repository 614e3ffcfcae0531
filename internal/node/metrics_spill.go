package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// spillMetrics collects the state of the spill.
type spillMetrics struct{ kept *spill.Spill }

var (
	spillWaiting  = prometheus.NewDesc("esh3ar_spill_messages", "Accepted messages on this node's disk that the database does not have yet.", nil, nil)
	spillBytes    = prometheus.NewDesc("esh3ar_spill_bytes", "Bytes of all calls in the spill, the quarantine too.", nil, nil)
	spillAge      = prometheus.NewDesc("esh3ar_spill_oldest_seconds", "Age of the oldest call that waits in the spill; 0: none waits.", nil, nil)
	spillAside    = prometheus.NewDesc("esh3ar_spill_quarantined_calls", "Calls that the database will not take: esh3ar spill list shows them.", nil, nil)
	spillMessages = prometheus.NewDesc("esh3ar_spill_messages_total", "Messages that came into the spill, by what became of them.", []string{"outcome"}, nil)
	spillFull     = prometheus.NewDesc("esh3ar_spill_full_total", "Batches of calls refused because the spill was full.", nil, nil)
	spillFailed   = prometheus.NewDesc("esh3ar_spill_rounds_failed_total", "Rounds of the drain that an error ended.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m spillMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{spillWaiting, spillBytes, spillAge, spillAside, spillMessages, spillFull, spillFailed} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (m spillMetrics) Collect(metrics chan<- prometheus.Metric) {
	s := m.kept.Stats()
	age := 0.0
	if !s.Oldest.IsZero() {
		age = max(0, time.Since(s.Oldest.Time()).Seconds())
	}
	for desc, value := range map[*prometheus.Desc]float64{
		spillWaiting: float64(s.Messages), spillBytes: float64(s.Bytes), spillAge: age, spillAside: float64(s.InQuarantine),
	} {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	for outcome, n := range map[string]uint64{"spilled": s.Spilled, "drained": s.Drained, "duplicate": s.Duplicates} {
		metrics <- prometheus.MustNewConstMetric(spillMessages, prometheus.CounterValue, float64(n), outcome)
	}
	metrics <- prometheus.MustNewConstMetric(spillFull, prometheus.CounterValue, float64(s.Full))
	metrics <- prometheus.MustNewConstMetric(spillFailed, prometheus.CounterValue, float64(s.FailedPasses))
}
