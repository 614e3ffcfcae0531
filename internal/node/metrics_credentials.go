package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/auth"
)

// credentialMetrics collects the counts of refused API keys.
type credentialMetrics struct{ keys *auth.Keys }

var credentialsRefused = prometheus.NewDesc("esh3ar_credentials_refused_total", "API keys that were refused, by reason: unknown to the store, remembered as unknown, or throttled by address.", []string{"reason"}, nil)

// Describe implements prometheus.Collector.
func (m credentialMetrics) Describe(out chan<- *prometheus.Desc) { out <- credentialsRefused }

// Collect implements prometheus.Collector.
func (m credentialMetrics) Collect(out chan<- prometheus.Metric) {
	refused := m.keys.Refused()
	out <- prometheus.MustNewConstMetric(credentialsRefused, prometheus.CounterValue, float64(refused.Unknown), "unknown")
	out <- prometheus.MustNewConstMetric(credentialsRefused, prometheus.CounterValue, float64(refused.Remembered), "remembered")
	out <- prometheus.MustNewConstMetric(credentialsRefused, prometheus.CounterValue, float64(refused.Throttled), "throttled")
}
