package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// shareMetrics collects the use of the resources that owners share (businesses, phones, addresses).
type shareMetrics struct{ stats []func() []fairshare.Stats }

var (
	shareInUse = prometheus.NewDesc("esh3ar_share_in_use", "Units of a shared resource that are in use (bytes, calls or changes).", []string{"resource"}, nil)
	shareTotal = prometheus.NewDesc("esh3ar_share_capacity", "Units of a shared resource that there are.", []string{"resource"}, nil)
	shareOwner = prometheus.NewDesc("esh3ar_share_owners", "Owners that hold or wait for a part of a shared resource.", []string{"resource"}, nil)
	shareMost  = prometheus.NewDesc("esh3ar_share_largest", "Units of a shared resource that its largest owner holds.", []string{"resource"}, nil)
	shareWait  = prometheus.NewDesc("esh3ar_share_waiting", "Calls that wait for a part of a shared resource.", []string{"resource"}, nil)
	shareNo    = prometheus.NewDesc("esh3ar_share_refused_total", "Calls that got no part of a shared resource: their owner had its share, or all of it was in use.", []string{"resource", "cause"}, nil)
)

// Describe implements prometheus.Collector.
func (m shareMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{shareInUse, shareTotal, shareOwner, shareMost, shareWait, shareNo} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m shareMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, stats := range m.stats {
		for _, s := range stats() {
			gauge := func(d *prometheus.Desc, value int64) {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), s.Name)
			}
			gauge(shareInUse, s.InUse)
			gauge(shareTotal, s.Total)
			gauge(shareOwner, int64(s.Owners))
			gauge(shareMost, s.LargestHolder)
			gauge(shareWait, int64(s.Waiting))
			ch <- prometheus.MustNewConstMetric(shareNo, prometheus.CounterValue, float64(s.RefusedShare), s.Name, "share")
			ch <- prometheus.MustNewConstMetric(shareNo, prometheus.CounterValue, float64(s.RefusedFull), s.Name, "full")
		}
	}
}
