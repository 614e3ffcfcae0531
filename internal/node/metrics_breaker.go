package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/breaker"
)

// breakerMetrics collects the states of the breakers of dependencies.
type breakerMetrics struct{ breakers []*breaker.Breaker }

var (
	breakerState   = prometheus.NewDesc("esh3ar_breaker_state", "1 for the state that the breaker of a dependency is in.", []string{"dependency", "state"}, nil)
	breakerRefused = prometheus.NewDesc("esh3ar_breaker_refused_total", "Calls that the breaker before a dependency refused.", []string{"dependency"}, nil)
)

// Describe implements prometheus.Collector.
func (b breakerMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- breakerState
	descriptions <- breakerRefused
}

// Collect implements prometheus.Collector.
func (b breakerMetrics) Collect(metrics chan<- prometheus.Metric) {
	for _, one := range b.breakers {
		status := one.Status()
		for _, state := range []string{"closed", "half_open", "open"} {
			is := 0.0
			if status.State == state {
				is = 1
			}
			metrics <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, is, status.Name, state)
		}
		metrics <- prometheus.MustNewConstMetric(breakerRefused, prometheus.CounterValue, float64(status.Refused), status.Name)
	}
}
