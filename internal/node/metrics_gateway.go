package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// gatewayMetrics contains the metrics of a gateway.
type gatewayMetrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	gateway  *gateway.Gateway
}

func newGatewayMetrics() *gatewayMetrics {
	m := &gatewayMetrics{registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "esh3ar_gateway_request_seconds", Help: "Time to answer a request, including the call to the node.", Buckets: latencies,
	}, []string{"route", "status"})
	m.registry.MustRegister(m.requests, buildInfo(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *gatewayMetrics) handler() http.Handler { return newMetricsHandler(m.registry) }

func (m *gatewayMetrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

// watch registers the metrics that are read during a scrape.
func (m *gatewayMetrics) watch(g *gateway.Gateway) {
	m.gateway = g
	m.registry.MustRegister(m)
}

var (
	gatewayState   = prometheus.NewDesc("esh3ar_gateway_node_state", "1 for the state that a node is in.", []string{"node", "state"}, nil)
	gatewayCalls   = prometheus.NewDesc("esh3ar_gateway_node_calls", "Calls under way at a node.", []string{"node"}, nil)
	gatewayStreams = prometheus.NewDesc("esh3ar_gateway_node_streams", "Streams and tunnels to a node.", []string{"node"}, nil)
	gatewayTaken   = prometheus.NewDesc("esh3ar_gateway_node_calls_total", "Calls and streams that were sent to a node.", []string{"node"}, nil)
	gatewayLatency = prometheus.NewDesc("esh3ar_gateway_node_latency_seconds", "Peak of a node's latency, as the choice sees it.", []string{"node"}, nil)
	gatewayLoad    = prometheus.NewDesc("esh3ar_gateway_node_load", "Load that a node reports; 1 is full.", []string{"node"}, nil)
	gatewayIdle    = prometheus.NewDesc("esh3ar_gateway_node_idle_connections", "Connections to a node that wait for a call.", []string{"node"}, nil)
	gatewayWaiting = prometheus.NewDesc("esh3ar_gateway_waiting", "Calls that wait for a connection to a node.", nil, nil)
	gatewayBudget  = prometheus.NewDesc("esh3ar_gateway_repeats_left", "Repeats that the budget allows now.", nil, nil)
	gatewayEvents  = prometheus.NewDesc("esh3ar_gateway_events_total",
		"Calls that were repeated, were not for want of budget, are answered outcome_unknown, found all nodes full, found no node, or whose caller had its share.", []string{"event"}, nil)
	gatewayPanics  = prometheus.NewDesc("esh3ar_gateway_panics_total", "Faults of the program that ended a request or a connection.", nil, nil)
	gatewayPool    = prometheus.NewDesc("esh3ar_gateway_shared_used_ratio", "Part of a shared resource that is in use.", []string{"resource"}, nil)
	gatewayRefused = prometheus.NewDesc("esh3ar_gateway_shared_refusals_total", "Refusals of a part of a shared resource, by reason: the owner had its share, or all of it was in use.", []string{"resource", "reason"}, nil)
)

// Describe implements prometheus.Collector.
func (m *gatewayMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{
		gatewayState, gatewayCalls, gatewayStreams, gatewayTaken, gatewayLatency, gatewayLoad, gatewayIdle, gatewayWaiting, gatewayBudget, gatewayEvents,
		gatewayPanics, gatewayPool, gatewayRefused,
	} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (m *gatewayMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := m.gateway.Stats()
	for i := range stats.Nodes {
		collectNode(metrics, &stats.Nodes[i])
	}
	metrics <- prometheus.MustNewConstMetric(gatewayWaiting, prometheus.GaugeValue, float64(stats.Waiting))
	metrics <- prometheus.MustNewConstMetric(gatewayBudget, prometheus.GaugeValue, stats.Budget)
	for event, n := range map[string]uint64{
		"repeated": stats.Retries, "retry_budget_exhausted": stats.RetryBudgetExhausted, "unknown": stats.Unknown, "full": stats.Full, "nobody": stats.NoNode, "share": stats.Share,
	} {
		metrics <- prometheus.MustNewConstMetric(gatewayEvents, prometheus.CounterValue, float64(n), event)
	}
	metrics <- prometheus.MustNewConstMetric(gatewayPanics, prometheus.CounterValue, float64(stats.Panics))
	for i := range stats.Pools {
		pool := &stats.Pools[i]
		metrics <- prometheus.MustNewConstMetric(gatewayPool, prometheus.GaugeValue, float64(pool.InUse)/float64(pool.Total), pool.Name)
		metrics <- prometheus.MustNewConstMetric(gatewayRefused, prometheus.CounterValue, float64(pool.RefusedShare), pool.Name, "share")
		metrics <- prometheus.MustNewConstMetric(gatewayRefused, prometheus.CounterValue, float64(pool.RefusedFull), pool.Name, "full")
	}
}

func collectNode(metrics chan<- prometheus.Metric, n *gateway.NodeStats) {
	id := string(n.ID)
	for state := range balance.States {
		is := 0.0
		if n.State == state {
			is = 1
		}
		metrics <- prometheus.MustNewConstMetric(gatewayState, prometheus.GaugeValue, is, id, state.String())
	}
	for desc, value := range map[*prometheus.Desc]float64{
		gatewayCalls: float64(n.Calls), gatewayStreams: float64(n.Streams), gatewayLatency: n.Latency.Seconds(), gatewayLoad: n.Load, gatewayIdle: float64(n.Idle),
	} {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, id)
	}
	metrics <- prometheus.MustNewConstMetric(gatewayTaken, prometheus.CounterValue, float64(n.Taken), id)
}
