package node

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// metrics contains the metrics of a node. Parts report through plain functions and do not import Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	waited   prometheus.Histogram
	batch    prometheus.Histogram
	append   prometheus.Histogram
	sync     prometheus.Histogram
	stage    prometheus.Histogram
	settled  prometheus.Counter
	live     prometheus.Histogram
	routed   prometheus.Histogram
	slowOnes []*slowMetrics
}

// latencies are the buckets of latency histograms, from 0.1 ms to several seconds.
var latencies = prometheus.ExponentialBuckets(0.0001, 2, 16)

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		m.registry.MustRegister(h)
		return h
	}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "esh3ar_http_request_seconds", Help: "Time to answer a REST call.", Buckets: latencies,
	}, []string{"route", "status"})
	m.waited = histogram("esh3ar_ingest_wait_seconds", "Wait of the oldest call of a batch for its commit to begin.", latencies)
	m.batch = histogram("esh3ar_ingest_batch_messages", "Messages stored by one commit.", prometheus.ExponentialBuckets(1, 2, 12))
	m.append = histogram("esh3ar_ingest_commit_seconds", "Time of a commit, from the call of the store to its return.", latencies)
	m.stage = histogram("esh3ar_store_stage_seconds", "Time to build a batch of the store.", latencies)
	m.sync = histogram("esh3ar_store_sync_seconds", "Time to write and fsync a batch of the store.", latencies)
	m.live = histogram("esh3ar_delivery_push_seconds", "From the commit of a message to its write to a connected phone.", latencies)
	m.routed = histogram("esh3ar_delivery_route_seconds", "From the acceptance of the oldest message of a commit to the hints to its recipients' connections.", latencies)
	m.settled = prometheus.NewCounter(prometheus.CounterOpts{Name: "esh3ar_store_changes_total", Help: "Status changes asked of the store."})
	m.registry.MustRegister(m.requests, m.settled, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) committed(info ingest.CommitInfo) {
	m.waited.Observe(info.Waited.Seconds())
	m.append.Observe(info.Took.Seconds())
	if info.Messages > 0 {
		m.batch.Observe(float64(info.Messages))
	}
}

func (m *metrics) stored(info embedded.CommitInfo) {
	m.stage.Observe(info.Stage.Seconds())
	m.sync.Observe(info.Sync.Seconds())
	m.settled.Add(float64(info.Changes))
}

func (m *metrics) routing(sinceAccepted time.Duration) { m.routed.Observe(sinceAccepted.Seconds()) }

func (m *metrics) pushed(sincePublished time.Duration) { m.live.Observe(sincePublished.Seconds()) }

// watch registers the metrics that are read during a scrape.
func (m *metrics) watch(n *node) {
	m.watchIngest(n)
	m.watchDelivery(n)
	m.watchParts(n)
}

// gauge registers a gauge that value returns.
func (m *metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// counter registers a counter that value returns.
func (m *metrics) counter(name, help string, value func() uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
}

// watchIngest registers the metrics of the lanes, the admission queue and the parts below them.
func (m *metrics) watchIngest(n *node) {
	for i, lane := range n.intake.Lanes() {
		labels := prometheus.Labels{"priority": lane.Priority.String()}
		m.gauge("esh3ar_ingest_lane_messages", "Messages that wait to be stored.", labels, func() float64 { return float64(n.intake.Lanes()[i].Messages) })
		m.gauge("esh3ar_ingest_lane_bytes", "Bytes that wait to be stored.", labels, func() float64 { return float64(n.intake.Lanes()[i].Bytes) })
	}
	m.gauge("esh3ar_ingest_limit", "Messages that may be worked on at once.", nil, func() float64 { return float64(n.intake.Admission().Limit) })
	m.gauge("esh3ar_ingest_in_flight", "Messages that are worked on.", nil, func() float64 { return float64(n.intake.Admission().InFlight) })
	m.gauge("esh3ar_admission_queue_messages", "Messages that wait to be admitted.", nil, func() float64 { return float64(n.intake.Admission().Waiting) })
	for level := range esh3ar.Level(esh3ar.Levels) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "esh3ar_ingest_shed_total", Help: "Calls turned away because the system was full.", ConstLabels: prometheus.Labels{"level": level.String()},
		}, func() float64 { return float64(n.intake.Admission().Shed[level]) }))
	}
	if n.store.Shared != nil {
		m.registry.MustRegister(m.slow(databaseMetrics{n.store.Shared}))
	}
	if n.spilling != nil {
		m.registry.MustRegister(spillMetrics{n.spilling.kept})
	}
	m.registry.MustRegister(loadMetrics{n.load}, diskMetrics{n.space, n.damage}, n.backlog, buildInfo())
	m.registry.MustRegister(hubMetrics{&n.hubs}, connectionMetrics{n.limiter}, panicMetrics{n.panics})
	m.counter("esh3ar_store_file_repeats_total", "File operations repeated because no file descriptor was left.", n.files.Repeats)
}

// watchDelivery registers the metrics of sessions, workers and due tasks.
func (m *metrics) watchDelivery(n *node) {
	m.gauge("esh3ar_sessions", "Phones connected to this node.", nil, func() float64 { return float64(n.engine.Stats().Sessions) })
	for pool, stats := range map[string]func() workerpool.Stats{
		"sessions": func() workerpool.Stats { return n.engine.Stats().Workers }, "readers": func() workerpool.Stats { return n.engine.Stats().Readers },
	} {
		m.gauge("esh3ar_delivery_workers", "Workers, as many as the depth of their queue asks for.", prometheus.Labels{"pool": pool}, func() float64 { return float64(stats().Workers) })
	}
	m.gauge("esh3ar_delivery_due_commits", "Commits of due tasks at a time, as many as their queue asks for.", nil, func() float64 { return float64(n.engine.Stats().DueWidth) })
	m.counter("esh3ar_phones_moved_total", "Phones handed over to other nodes: this one was over its load, or drained.", n.moving.Moved)
	m.counter("esh3ar_delivery_published_total", "Messages routed after their commit.", func() uint64 { return n.engine.Stats().Published })
	m.counter("esh3ar_delivery_pushed_total", "Messages handed to connections, without repeats.", func() uint64 { return n.engine.Stats().Pushed })
	m.counter("esh3ar_delivery_repeated_total", "Repeats after a missing acknowledgement.", func() uint64 { return n.engine.Stats().Repeated })
	m.counter("esh3ar_delivery_refused_total", "Pushes that a slow connection had no room for.", func() uint64 { return n.engine.Stats().Refused })
	m.counter("esh3ar_delivery_swept_total", "Sessions that learned of new messages from the sweep, because the hint was lost or late.", func() uint64 { return n.engine.Stats().Swept })
	m.counter("esh3ar_delivery_dropped_statuses_total", "Pending statuses left to the stale walk.", func() uint64 { return n.engine.Stats().Dropped })
	m.counter("esh3ar_delivery_acknowledgements_refused_total", "Calls that acknowledged messages unknown to their connection at more than the rate per phone.", func() uint64 { return n.engine.Stats().AckOver })
	m.counter("esh3ar_recipient_inbox_full_total", "Calls refused because too much of their business waits for a recipient.", func() uint64 { return n.recipients.Stats().Full })
	m.counter("esh3ar_recipient_rate_limited_total", "Calls refused because their business sends too fast to one recipient.", func() uint64 { return n.recipients.Stats().OverRate })
	m.counter("esh3ar_recipient_counts_total", "Counts of what waits for a recipient that the store was asked for.", func() uint64 { return n.recipients.Stats().Queries })
	m.counter("esh3ar_recipient_counts_failed_total", "Counts of what waits for a recipient that failed; the calls were let in.", func() uint64 { return n.recipients.Stats().QueryErrors })
	m.counter("esh3ar_delivery_tasks_total", "Due tasks done: scheduled messages that entered their inbox, times to live that ended.", func() uint64 { return n.engine.Stats().Due })
	m.counter("esh3ar_delivery_tasks_failed_total", "Due tasks whose commit failed; they are tried again.", func() uint64 { return n.engine.Stats().DueFailed })
}

// watchParts registers the metrics of breakers, the cluster, retention and event streams.
func (m *metrics) watchParts(n *node) {
	m.registry.MustRegister(m.slow(deviceBreakerMetrics{n.engine}))
	m.registry.MustRegister(breakerMetrics{n.dependencies()})
	if n.cluster != nil {
		m.registry.MustRegister(clusterMetrics{n.cluster})
	}
	m.counter("esh3ar_janitor_purged_total", "Finished messages deleted after their retention.", func() uint64 { return n.retentionJob.Stats().Purged })
	m.counter("esh3ar_janitor_failed_total", "Rounds of housekeeping that an error ended.", func() uint64 { return n.retentionJob.Stats().Failed })
	m.counter("esh3ar_janitor_held_total", "Rounds of housekeeping left out because the clock had jumped.", func() uint64 { return n.retentionJob.Stats().Paused })
	m.gauge("esh3ar_streams", "Streams of status events that are open.", nil, func() float64 { return float64(n.feed.Stats().Streams) })
	m.counter("esh3ar_streams_events_total", "Status events taken by streams.", func() uint64 { return n.feed.Stats().Events })
	m.counter("esh3ar_streams_fallback_total", "Times that a stream was too slow and went back to the log.", func() uint64 { return n.feed.Stats().FellBehind })
	m.counter("esh3ar_process_pauses_total", "Times the process did not run for a second or more.", func() uint64 { return n.engine.Stats().Pauses })
}
