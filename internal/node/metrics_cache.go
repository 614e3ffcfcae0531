package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/cache"
)

// cacheMetrics collects the statistics of the caches and of their shared level.
type cacheMetrics struct {
	stats  func() []cache.Stats
	shared *cache.Shared // nil: there is none
}

// watchCaches registers the caches of a node.
func (m *metrics) watchCaches(stats func() []cache.Stats, shared *cache.Shared) {
	m.registry.MustRegister(cacheMetrics{stats, shared})
}

var (
	cacheSize          = prometheus.NewDesc("esh3ar_cache_entries", "Entries in this process.", []string{"cache"}, nil)
	cacheAsked         = prometheus.NewDesc("esh3ar_cache_keys_total", "Keys that were asked for, by level and answer.", []string{"cache", "level", "answer"}, nil)
	cacheEvictions     = prometheus.NewDesc("esh3ar_cache_evictions_total", "Entries that others displaced.", []string{"cache"}, nil)
	cacheLoads         = prometheus.NewDesc("esh3ar_cache_load_seconds", "Questions to the source.", []string{"cache"}, nil)
	cacheLoadErrors    = prometheus.NewDesc("esh3ar_cache_load_errors_total", "Questions that the source did not answer.", []string{"cache"}, nil)
	cacheInvalidations = prometheus.NewDesc("esh3ar_cache_invalidations_total", "Invalidations, of this node and of others.", []string{"cache"}, nil)
	cacheLinked        = prometheus.NewDesc("esh3ar_cache_linked", "1 while invalidations of other nodes are heard.", nil, nil)
	cacheCalls         = prometheus.NewDesc("esh3ar_cache_second_seconds", "Calls of the level that nodes share.", nil, nil)
	cacheErrors        = prometheus.NewDesc("esh3ar_cache_second_errors_total", "Calls of that level that failed or were refused.", nil, nil)
	cacheOwed          = prometheus.NewDesc("esh3ar_cache_owed", "Invalidations that other nodes could not be told yet.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c cacheMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{
		cacheSize, cacheAsked, cacheEvictions, cacheLoads, cacheLoadErrors, cacheInvalidations, cacheLinked, cacheCalls, cacheErrors, cacheOwed,
	} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (c cacheMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := c.stats()
	for i := range stats {
		collectCache(metrics, &stats[i])
	}
	if c.shared == nil {
		return
	}
	shared, linked := c.shared.Stats(), 0.0
	if shared.Subscribed {
		linked = 1
	}
	metrics <- prometheus.MustNewConstMetric(cacheLinked, prometheus.GaugeValue, linked)
	metrics <- histogram(cacheCalls, &shared.Calls)
	metrics <- prometheus.MustNewConstMetric(cacheErrors, prometheus.CounterValue, float64(shared.Errors))
	metrics <- prometheus.MustNewConstMetric(cacheOwed, prometheus.GaugeValue, float64(shared.Pending))
}

func collectCache(metrics chan<- prometheus.Metric, s *cache.Stats) {
	metrics <- prometheus.MustNewConstMetric(cacheSize, prometheus.GaugeValue, float64(s.Size), s.Name)
	for _, asked := range []struct {
		level, answer string
		n             uint64
	}{{"first", "hit", s.Hits}, {"first", "miss", s.Misses}, {"second", "hit", s.SecondHits}, {"second", "miss", s.SecondMisses}} {
		metrics <- prometheus.MustNewConstMetric(cacheAsked, prometheus.CounterValue, float64(asked.n), s.Name, asked.level, asked.answer)
	}
	metrics <- prometheus.MustNewConstMetric(cacheEvictions, prometheus.CounterValue, float64(s.Evictions), s.Name)
	metrics <- histogram(cacheLoads, &s.LoadTime, s.Name)
	metrics <- prometheus.MustNewConstMetric(cacheLoadErrors, prometheus.CounterValue, float64(s.LoadErrors), s.Name)
	metrics <- prometheus.MustNewConstMetric(cacheInvalidations, prometheus.CounterValue, float64(s.Invalidations), s.Name)
}

// histogram returns cumulative buckets, as Prometheus expects them. The last bucket has no bound.
func histogram(desc *prometheus.Desc, l *cache.Latency, labels ...string) prometheus.Metric {
	buckets, below := map[float64]uint64{}, uint64(0)
	for i := range cache.LatencyBuckets - 1 {
		below += l.Buckets[i]
		buckets[float64(uint64(1)<<i)/1e6] = below
	}
	return prometheus.MustNewConstHistogram(desc, l.Count(), l.Sum.Seconds(), buckets, labels...)
}
