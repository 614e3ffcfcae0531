package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/cluster/redis"
)

// clusterMetrics collects hints, presence, the registry and the use of Redis.
type clusterMetrics struct{ *cluster }

var (
	redisUp        = prometheus.NewDesc("esh3ar_redis_connected", "1 after Redis was reached for the first time.", nil, nil)
	redisCall      = prometheus.NewDesc("esh3ar_redis_call_seconds", "Calls to Redis; each may be several commands.", []string{"operation"}, nil)
	redisCommands  = prometheus.NewDesc("esh3ar_redis_commands_total", "Commands of those calls.", []string{"operation"}, nil)
	redisErrors    = prometheus.NewDesc("esh3ar_redis_errors_total", "Calls to Redis of which something failed.", []string{"operation"}, nil)
	redisRefused   = prometheus.NewDesc("esh3ar_redis_refused_total", "What was in Redis and was not used: no node of the cluster made it for this place, or it came before.", []string{"part"}, nil)
	redisListening = prometheus.NewDesc("esh3ar_redis_subscriptions_total", "Times that a subscription came into force, or was lost.", []string{"change"}, nil)

	routeWaiting  = prometheus.NewDesc("esh3ar_route_waiting", "Hints for other nodes that wait to be sent.", nil, nil)
	routeHints    = prometheus.NewDesc("esh3ar_route_hints_total", "Hints between nodes, by what became of them.", []string{"outcome"}, nil)
	routePresence = prometheus.NewDesc("esh3ar_route_presence_total", "Recipients that were said to be on this node, or not to be any more.", []string{"outcome"}, nil)
)

// Describe implements prometheus.Collector.
func (c clusterMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{redisUp, redisCall, redisCommands, redisErrors, redisRefused, redisListening, routeWaiting, routeHints, routePresence} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (c clusterMetrics) Collect(metrics chan<- prometheus.Metric) {
	c.collectRedis(metrics)
	stats := c.router.Stats()
	metrics <- prometheus.MustNewConstMetric(routeWaiting, prometheus.GaugeValue, float64(stats.Waiting))
	for outcome, n := range map[string]uint64{
		"told": stats.Enqueued, "dropped": stats.Dropped, "unlooked": stats.LookupFailed, "absent": stats.Offline, "sent": stats.Sent, "unsent": stats.SendFailed,
		"received": stats.Received, "astray": stats.Misrouted, "circled": stats.HopLimitExceeded,
	} {
		metrics <- prometheus.MustNewConstMetric(routeHints, prometheus.CounterValue, float64(n), outcome)
	}
	for outcome, n := range map[string]uint64{
		"asserted": stats.Asserted, "retracted": stats.Retracted, "unsaid": stats.PublishFailed, "unmarked": stats.DirtyDropped,
	} {
		metrics <- prometheus.MustNewConstMetric(routePresence, prometheus.CounterValue, float64(n), outcome)
	}
}

func (c clusterMetrics) collectRedis(metrics chan<- prometheus.Metric) {
	stats := c.redis.Stats()
	up := 0.0
	if stats.Connected {
		up = 1
	}
	metrics <- prometheus.MustNewConstMetric(redisUp, prometheus.GaugeValue, up)
	for i := range stats.Ops {
		op := &stats.Ops[i]
		metrics <- prometheus.MustNewConstHistogram(redisCall, op.Calls, op.Took.Seconds(), redisBuckets(op), op.Name)
		metrics <- prometheus.MustNewConstMetric(redisCommands, prometheus.CounterValue, float64(op.Commands), op.Name)
		metrics <- prometheus.MustNewConstMetric(redisErrors, prometheus.CounterValue, float64(op.Errors), op.Name)
	}
	for _, part := range stats.Refused {
		metrics <- prometheus.MustNewConstMetric(redisRefused, prometheus.CounterValue, float64(part.Refused), part.Name)
	}
	metrics <- prometheus.MustNewConstMetric(redisListening, prometheus.CounterValue, float64(stats.Subscribed), "gained")
	metrics <- prometheus.MustNewConstMetric(redisListening, prometheus.CounterValue, float64(stats.Unsubscribed), "lost")
}

// redisBuckets returns cumulative buckets, as Prometheus expects them.
func redisBuckets(op *redis.OpStats) map[float64]uint64 {
	buckets := make(map[float64]uint64, len(redis.LatencyBounds))
	below := uint64(0)
	for i, bound := range redis.LatencyBounds {
		below += op.Classes[i]
		buckets[bound.Seconds()] = below
	}
	return buckets
}
