package node

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered is a collector that counts its collections, and waits in each for leave.
type gathered struct {
	count atomic.Int64
	begun chan struct{}
	leave chan struct{}
}

var gatheredDesc = prometheus.NewDesc("esh3ar_test", "A metric.", nil, nil)

func (g *gathered) Describe(out chan<- *prometheus.Desc) { out <- gatheredDesc }

func (g *gathered) Collect(out chan<- prometheus.Metric) {
	g.count.Add(1)
	g.begun <- struct{}{}
	<-g.leave
	out <- prometheus.MustNewConstMetric(gatheredDesc, prometheus.GaugeValue, 1)
}

func scrape(s *metricsHandler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return w
}

// TestScrapes_ManyAtOnce_GatherOnce: one gathers, one waits for it, the others are answered 503; a text is served again while it is fresh.
func TestScrapes_ManyAtOnce_GatherOnce(t *testing.T) {
	t.Parallel()
	g := &gathered{begun: make(chan struct{}, 8), leave: make(chan struct{})}
	registry := prometheus.NewRegistry()
	registry.MustRegister(g)
	s := newMetricsHandler(registry)
	s.fresh = time.Hour
	var both sync.WaitGroup
	for range scrapesAtOnce {
		both.Go(func() {
			if w := scrape(s); w.Code != http.StatusOK {
				t.Errorf("status %d, want 200: %s", w.Code, w.Body)
			}
		})
	}
	<-g.begun
	for len(s.turns) < scrapesAtOnce { // until the other one waits
		runtime.Gosched()
	}
	if w := scrape(s); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a third one: %d, Retry-After %q; want 503, 1", w.Code, w.Header().Get("Retry-After"))
	}
	close(g.leave)
	both.Wait()
	if got := g.count.Load(); got != 1 {
		t.Errorf("gathered %d times, want once", got)
	}
}

// TestSlowMetrics_Scrape_DoesNotCollect: a scrape gets what was collected in the background.
func TestSlowMetrics_Scrape_DoesNotCollect(t *testing.T) {
	t.Parallel()
	g := &gathered{begun: make(chan struct{}, 8), leave: make(chan struct{})}
	close(g.leave)
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(m.slow(g))
	for range 3 {
		if _, err := m.registry.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.count.Load(); got != 1 {
		t.Errorf("collected %d times, want once: at the first scrape", got)
	}
}

func TestForOperators_Paths_AreTheOnesToProtect(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/admin": true, "/admin/v1/nodes": true, "/metrics": true, "/debug/pprof/heap": true, "/dashboard/": true,
		"/": false, "/v1/messages": false, "/administrator": false, "/metricsx": false, "/livez": false, "/demo/": false, "/readyz": false,
	} {
		if got := forOperators(path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}

func TestConnectionFlags_Check(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags connectionFlags
		good  bool
	}{
		"none given":    {connectionFlags{}, true},
		"no proxies":    {connectionFlags{TrustedProxies: []string{noProxies}}, true},
		"an address":    {connectionFlags{TrustedProxies: []string{"10.0.0.1", "2001:db8::/32"}}, true},
		"no address":    {connectionFlags{TrustedProxies: []string{"proxy.example"}}, false},
		"negative":      {connectionFlags{MaxPerAddress: -1}, false},
		"negative, all": {connectionFlags{MaxConnections: -1}, false},
	} {
		if err := c.flags.check(); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTLSFlags_OneOfTwo_IsRefused(t *testing.T) {
	t.Parallel()
	for _, f := range []tlsFlags{{TLSCert: "c"}, {TLSKey: "k"}} {
		if err := f.check(); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}
