package node

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// databaseMetrics collects the statistics of a shared store during a scrape.
type databaseMetrics struct{ store *postgres.Store }

// lookWithin bounds the queries of a collection while the database does not answer.
const lookWithin = time.Second

var (
	statementSeconds = prometheus.NewDesc("esh3ar_database_statement_seconds", "Statements and the time they took, with the wait for a connection.", []string{"statement"}, nil)
	statementErrors  = prometheus.NewDesc("esh3ar_database_statement_errors_total", "Statements that failed.", []string{"statement"}, nil)
	poolConnections  = prometheus.NewDesc("esh3ar_database_connections", "Connections to the database.", []string{"state"}, nil)
	poolWaits        = prometheus.NewDesc("esh3ar_database_connection_waits_total", "Calls that had to wait for a connection.", nil, nil)
	oldestAge        = prometheus.NewDesc("esh3ar_database_oldest_transaction_age", "Transactions begun since the oldest that still runs: streams of events wait for it.", nil, nil)
)

// Describe implements prometheus.Collector.
func (d databaseMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{statementSeconds, statementErrors, poolConnections, poolWaits, oldestAge} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (d databaseMetrics) Collect(metrics chan<- prometheus.Metric) {
	for _, s := range d.store.Statements() {
		metrics <- prometheus.MustNewConstSummary(statementSeconds, s.Count, s.Took.Seconds(), nil, s.Name)
		metrics <- prometheus.MustNewConstMetric(statementErrors, prometheus.CounterValue, float64(s.Errors), s.Name)
	}
	pool := d.store.Pool()
	for state, n := range map[string]int{"idle": pool.Idle, "busy": pool.Total - pool.Idle, "max": pool.Max} {
		metrics <- prometheus.MustNewConstMetric(poolConnections, prometheus.GaugeValue, float64(n), state)
	}
	metrics <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(pool.Empty))
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	if age, err := d.store.XminAge(ctx); err == nil { // after an error the metric is omitted
		metrics <- prometheus.MustNewConstMetric(oldestAge, prometheus.GaugeValue, float64(age))
	}
}
