package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/runtime/panics"
)

// panicMetrics collects the counts of recovered panics.
type panicMetrics struct{ recorder *panics.Recorder }

var panicsRecovered = prometheus.NewDesc("esh3ar_panics_recovered_total", "Panics that ended one connection only, by the part that recovered them.", []string{"part"}, nil)

// Describe implements prometheus.Collector.
func (m panicMetrics) Describe(out chan<- *prometheus.Desc) { out <- panicsRecovered }

// Collect implements prometheus.Collector.
func (m panicMetrics) Collect(out chan<- prometheus.Metric) {
	for part, n := range m.recorder.Counts() {
		out <- prometheus.MustNewConstMetric(panicsRecovered, prometheus.CounterValue, float64(n), part)
	}
}

// deviceBreakerMetrics counts the breakers of devices. It walks over all devices, so it is collected in the background.
type deviceBreakerMetrics struct{ engine *delivery.Engine }

var deviceBreakers = prometheus.NewDesc("esh3ar_device_breakers", "Devices that are not delivered to as usual, by the state of their breaker.", []string{"state"}, nil)

// Describe implements prometheus.Collector.
func (m deviceBreakerMetrics) Describe(out chan<- *prometheus.Desc) { out <- deviceBreakers }

// Collect implements prometheus.Collector.
func (m deviceBreakerMetrics) Collect(out chan<- prometheus.Metric) {
	_, open, halfOpen := m.engine.Breakers(0)
	out <- prometheus.MustNewConstMetric(deviceBreakers, prometheus.GaugeValue, float64(open), delivery.Open.String())
	out <- prometheus.MustNewConstMetric(deviceBreakers, prometheus.GaugeValue, float64(halfOpen), delivery.HalfOpen.String())
}
