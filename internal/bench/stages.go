package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The stages of a delivery that nodes measure themselves, as names of histograms in seconds.
const (
	routeStage = "esh3ar_delivery_route_seconds" // acceptance to hints
	pushStage  = "esh3ar_delivery_push_seconds"  // hints to the write to the phone
)

// bucket is one bucket of a cumulative histogram: the count of values up to and including le, in seconds.
type bucket struct{ le, count float64 }

// stages are the histograms of all nodes of a platform at one moment, added up, by name.
type stages map[string][]bucket

// metric returns the value of a metric without labels.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.node.URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	value, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); { // to the end, so that the connection can be used again
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if value, err = strconv.ParseFloat(text, 64); err != nil {
				return 0, fmt.Errorf("metric %s: %w", name, err)
			}
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("metric %s: not among the metrics of %s", name, s.node.URL)
	}
	return value, nil
}

// stages reads the stage histograms of all nodes.
func (p *platform) stages(ctx context.Context) (stages, error) {
	sum := stages{}
	for _, url := range p.urls() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		err = sum.add(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", url, err)
		}
	}
	return sum, nil
}

// add reads the text format of Prometheus and adds the buckets of the stages to s.
func (s stages) add(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), `_bucket{le="`)
		if !ok || name != routeStage && name != pushStage {
			continue
		}
		bound, value, ok := strings.Cut(rest, `"} `)
		le, err := strconv.ParseFloat(bound, 64)
		count, err2 := strconv.ParseFloat(value, 64)
		if !ok || err != nil || err2 != nil {
			return fmt.Errorf("not a bucket: %q", lines.Text())
		}
		i := slices.IndexFunc(s[name], func(b bucket) bool { return b.le == le })
		if i < 0 {
			s[name] = append(s[name], bucket{le, count})
			continue
		}
		s[name][i].count += count
	}
	return lines.Err()
}

// quantile estimates the q-quantile of what a stage took between two readings, in milliseconds, as Prometheus'
// histogram_quantile does: linear within a bucket. It returns the lower bound of the last bucket if the quantile lies
// there, and an error if nothing was measured.
func (s stages) quantile(before stages, name string, q float64) (float64, error) {
	buckets := slices.Clone(s[name])
	for i := range buckets {
		at := slices.IndexFunc(before[name], func(b bucket) bool { return b.le == buckets[i].le })
		if at >= 0 {
			buckets[i].count -= before[name][at].count
		}
	}
	if len(buckets) < 2 || buckets[len(buckets)-1].count <= 0 {
		return 0, fmt.Errorf("%s: nothing was measured", name)
	}
	rank := q * buckets[len(buckets)-1].count
	i := slices.IndexFunc(buckets[:len(buckets)-1], func(b bucket) bool { return b.count >= rank })
	if i < 0 {
		return buckets[len(buckets)-2].le * 1000, nil
	}
	low := bucket{}
	if i > 0 {
		low = buckets[i-1]
	}
	share := (rank - low.count) / (buckets[i].count - low.count)
	return (low.le + (buckets[i].le-low.le)*share) * 1000, nil
}

// stageBudgets adds the stages of requirements 3.1 and 3.2 to the report.
func (r *run) stageBudgets(before, after stages) error {
	route, err := after.quantile(before, routeStage, 0.99)
	if err != nil {
		return err
	}
	push, err := after.quantile(before, pushStage, 0.99)
	if err != nil {
		return err
	}
	r.report.budget(Latency, "acceptance → routed, p99", route, "ms", "R3.1", 50, 10, false)
	r.report.budget(Latency, "routed → written to the phone, p99", push, "ms", "R3.2", 200, 30, false)
	return nil
}
