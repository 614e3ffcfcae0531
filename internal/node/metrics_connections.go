package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// connectionMetrics collects the number of connections and the refusals at each limit.
type connectionMetrics struct{ limiter *connlimit.Limiter }

var (
	connectionsOpen      = prometheus.NewDesc("esh3ar_connections", "Connections that are open, by whether good credentials were used on them.", []string{"authenticated"}, nil)
	connectionsLimit     = prometheus.NewDesc("esh3ar_connections_limit", "Connections that may be open at once; 0: no limit.", nil, nil)
	connectionsUnknown   = prometheus.NewDesc("esh3ar_connections_unauthenticated_limit", "Connections without good credentials that may be open at once.", nil, nil)
	connectionsAdmitted  = prometheus.NewDesc("esh3ar_connections_admitted_total", "Connections that were accepted.", nil, nil)
	connectionsRefused   = prometheus.NewDesc("esh3ar_connections_refused_total", "Connections closed at once: there was no room.", nil, nil)
	connectionsClosed    = prometheus.NewDesc("esh3ar_connections_closed_idle_total", "Unauthenticated connections closed to make room, by the limit that was reached.", []string{"limit"}, nil)
	connectionsOverShare = prometheus.NewDesc("esh3ar_connections_over_share_total", "Connections that stay unauthenticated because their owner has used its share.", nil, nil)
	connectionsExhausted = prometheus.NewDesc("esh3ar_connections_accept_exhausted_total", "Accepts that failed because no file descriptor was left.", nil, nil)
)

var _ prometheus.Collector = connectionMetrics{}

// Describe implements prometheus.Collector.
func (m connectionMetrics) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(m, out)
}

// Collect implements prometheus.Collector.
func (m connectionMetrics) Collect(out chan<- prometheus.Metric) {
	s := m.limiter.Stats()
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge(connectionsOpen, s.Unauthenticated, "false")
	gauge(connectionsOpen, s.Open-s.Unauthenticated, "true")
	gauge(connectionsLimit, s.Limit)
	gauge(connectionsUnknown, s.UnauthenticatedLimit)
	counter(connectionsAdmitted, s.Admitted)
	counter(connectionsRefused, s.Refused)
	for r, n := range s.Closed {
		counter(connectionsClosed, n, connlimit.Reason(r).String())
	}
	counter(connectionsOverShare, s.OverShare)
	counter(connectionsExhausted, s.Exhausted)
}
