package node

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapeFresh is the time for which the text of a scrape is served again, so the metrics are gathered at most once in that time.
	scrapeFresh = time.Second
	// scrapesAtOnce is the number of scrapes that may gather or wait at once. Further ones are answered 503.
	scrapesAtOnce = 2
)

// metricsHandler answers GET /metrics. Its cost does not depend on the number of callers.
type metricsHandler struct {
	gather http.Handler // of promhttp
	turns  chan struct{}
	fresh  time.Duration // scrapeFresh

	mu struct {
		sync.Mutex
		at   time.Time
		text *scrapeText
	}
}

func newMetricsHandler(registry *prometheus.Registry) *metricsHandler {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "esh3ar_metrics_gathered_timestamp_seconds",
		Help: "Unix time at which the values of this scrape were gathered. Scrapes within a second of each other get the same values.",
	}, func() float64 { return float64(time.Now().UnixMicro()) / 1e6 }))
	return &metricsHandler{gather: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), turns: make(chan struct{}, scrapesAtOnce), fresh: scrapeFresh}
}

// ServeHTTP implements http.Handler.
func (s *metricsHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.turns <- struct{}{}:
	default:
		h := w.Header()
		h.Set("Content-Type", "application/problem+json")
		h.Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"overloaded","detail":"two scrapes are gathered already"}`))
		return
	}
	text := s.current(r.Context())
	<-s.turns
	w.Header().Set("Content-Type", text.header.Get("Content-Type"))
	w.WriteHeader(text.status)
	_, _ = w.Write(text.body.Bytes()) // the write deadline of the connection ends the call of a peer that does not read
}

// current returns a text that is no older than scrapeFresh.
func (s *metricsHandler) current(ctx context.Context) *scrapeText {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.text != nil && time.Since(s.mu.at) < s.fresh {
		return s.mu.text
	}
	text := &scrapeText{header: http.Header{}, status: http.StatusOK}
	// Without an Accept header: the text format.
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "/metrics", http.NoBody)
	if err != nil {
		panic(err) // all parts are constants
	}
	s.gather.ServeHTTP(text, request)
	s.mu.text, s.mu.at = text, time.Now()
	return text
}

// scrapeText is the text of a scrape.
type scrapeText struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (t *scrapeText) Header() http.Header { return t.header }

// WriteHeader implements http.ResponseWriter.
func (t *scrapeText) WriteHeader(status int) { t.status = status }

// Write implements http.ResponseWriter.
func (t *scrapeText) Write(b []byte) (int, error) { return t.body.Write(b) }

// slowEvery is the interval in which metrics are collected that query a database or walk over a large structure.
const slowEvery = 5 * time.Second

// slowMetrics collects the metrics of other collectors in the background. A scrape returns the last collected values.
type slowMetrics struct {
	prometheus.Collector
	last atomic.Pointer[[]prometheus.Metric]
}

// Collect implements prometheus.Collector.
func (s *slowMetrics) Collect(out chan<- prometheus.Metric) {
	last := s.last.Load()
	if last == nil { // the first scrape came before the first round
		last = s.refresh()
	}
	for _, m := range *last {
		out <- m
	}
}

func (s *slowMetrics) refresh() *[]prometheus.Metric {
	all := make(chan prometheus.Metric)
	go func() { // ends with the collection
		s.Collector.Collect(all)
		close(all)
	}()
	var list []prometheus.Metric
	for m := range all {
		list = append(list, m)
	}
	s.last.Store(&list)
	return &list
}

// slow returns a collector whose metrics are collected in the background.
func (m *metrics) slow(c prometheus.Collector) prometheus.Collector {
	s := &slowMetrics{Collector: c}
	m.slowOnes = append(m.slowOnes, s)
	return s
}

// run collects the slow metrics until ctx ends.
func (m *metrics) run(ctx context.Context) error {
	tick := time.NewTicker(slowEvery)
	defer tick.Stop()
	for {
		for _, s := range m.slowOnes {
			s.refresh()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
