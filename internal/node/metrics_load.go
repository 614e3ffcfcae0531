package node

import "github.com/prometheus/client_golang/prometheus"

// loadMetrics collects the load of the last measurement.
type loadMetrics struct{ *loadGauge }

var (
	loadScore = prometheus.NewDesc("esh3ar_load", "Share of this node's capacity in use, by its fullest part; 1 is full.", nil, nil)
	loadPart  = prometheus.NewDesc("esh3ar_load_part", "The same, part by part.", []string{"part"}, nil)
)

// Describe implements prometheus.Collector.
func (l loadMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- loadScore
	descriptions <- loadPart
}

// Collect implements prometheus.Collector.
func (l loadMetrics) Collect(metrics chan<- prometheus.Metric) {
	load := l.load()
	metrics <- prometheus.MustNewConstMetric(loadScore, prometheus.GaugeValue, load.Score())
	for part, value := range map[string]float64{
		"cpu": load.CPU, "rate": load.Rate, "memory": load.Memory, "queue": load.Queue, "commit": load.Commit, "connections": load.Connections,
	} {
		metrics <- prometheus.MustNewConstMetric(loadPart, prometheus.GaugeValue, value, part)
	}
}
