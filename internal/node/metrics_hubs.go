package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/signalr"
)

// hubMetrics collects the metrics of the hubs, under OpenTelemetry's names in the spelling of Prometheus.
type hubMetrics struct{ *hubs }

var (
	hubActive   = prometheus.NewDesc("signalr_server_active_connections", "Connections that are open.", []string{"hub", "signalr_transport"}, nil)
	hubDuration = prometheus.NewDesc("signalr_server_connection_duration_seconds", "How long connections lasted that have ended, by how they ended.", []string{"hub", "signalr_transport", "signalr_connection_status"}, nil)
	hubMessages = prometheus.NewDesc("signalr_server_messages_total", "Hub messages.", []string{"hub", "network_io_direction"}, nil)
	hubPlane    = prometheus.NewDesc("esh3ar_backplane_messages_total", "Messages between the hubs of nodes, by what became of them.", []string{"hub", "outcome"}, nil)
	hubPanics   = prometheus.NewDesc("signalr_server_panics_total", "Panics that were recovered, by whose code panicked.", []string{"hub", "signalr_panic_origin"}, nil)
	hubRefused  = prometheus.NewDesc("signalr_server_refused_connections_total", "Connections and negotiations that were refused because their user has too many.", []string{"hub"}, nil)
	hubReplaced = prometheus.NewDesc("signalr_server_replaced_connections_total", "Connections that were closed for newer ones of their device.", []string{"hub"}, nil)
	hubWaiting  = prometheus.NewDesc("signalr_server_unfinished_messages_bytes", "Bytes that wait for the rest of their message, or for an invocation slot.", []string{"hub"}, nil)
	hubUnread   = prometheus.NewDesc("signalr_server_unread_output_bytes", "Bytes of output that wait for clients that read slowly, in steps of 4 KiB for each.", []string{"hub"}, nil)
	hubDropped  = prometheus.NewDesc("signalr_server_unread_connections_total", "Connections that were dropped because those of their user held too much output.", []string{"hub"}, nil)
	hubBytes    = prometheus.NewDesc("signalr_server_io_bytes_total", "Bytes received from clients, and bytes of hub messages sent.", []string{"hub", "network_io_direction"}, nil)
)

// hubDescs maps the metric names of package signalr to descriptions.
var hubDescs = map[string]*prometheus.Desc{
	"signalr.server.active_connections":  hubActive,
	"signalr.server.connection.duration": hubDuration,
	"signalr.server.messages":            hubMessages,
	"signalr.server.io":                  hubBytes,
	"signalr.server.panics":              hubPanics,

	"signalr.server.refused_connections":  hubRefused,
	"signalr.server.replaced_connections": hubReplaced,
	"signalr.server.unfinished_messages":  hubWaiting,
	"signalr.server.unread_output":        hubUnread,
	"signalr.server.unread_connections":   hubDropped,
}

// Describe implements prometheus.Collector.
func (h hubMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range hubDescs {
		descriptions <- d
	}
	descriptions <- hubPlane
}

// Collect implements prometheus.Collector.
func (h hubMetrics) Collect(metrics chan<- prometheus.Metric) {
	h.backplanes.collect(metrics)
	for hub, server := range h.named() {
		if server == nil {
			continue // not open yet
		}
		for _, m := range server.Metrics() {
			if d := hubDescs[m.Name]; d != nil {
				metrics <- hubMetric(d, &m, hub)
			}
		}
	}
}

func hubMetric(d *prometheus.Desc, m *signalr.Metric, hub string) prometheus.Metric {
	labels := []string{hub}
	for _, a := range m.Attributes {
		labels = append(labels, a.Value)
	}
	switch m.Kind {
	case signalr.MetricHistogram:
		buckets := make(map[float64]uint64, len(m.Buckets))
		for _, b := range m.Buckets {
			buckets[b.UpTo] = uint64(b.Count)
		}
		return prometheus.MustNewConstHistogram(d, uint64(m.Count), m.Sum, buckets, labels...)
	case signalr.MetricUpDownCounter:
		return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(m.Value), labels...)
	default:
		return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(m.Value), labels...)
	}
}
