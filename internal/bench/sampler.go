package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// clusterSample is the state of the cluster at one time: totals since the beginning, and nodes.
type clusterSample struct {
	after    time.Duration
	due      int64 // messages
	taken    int64 // accepted messages
	refused  int64 // answers 503 and 429
	nodes    int   // nodes that accept calls
	draining int
	load     float64 // mean load of those nodes
}

// sampler records the nodes of a cluster and the offered load over time.
type sampler struct {
	server  *server
	sender  *sender
	began   time.Time
	every   time.Duration
	samples []clusterSample
}

// newSampler samples once a second, and more often in a short run.
func newSampler(s *server, from *sender, whole time.Duration) *sampler {
	return &sampler{server: s, sender: from, began: time.Now(), every: max(100*time.Millisecond, min(time.Second, whole/(2*fewSamples)))}
}

// sampleUntil takes samples until enough returns true.
func (c *sampler) sampleUntil(ctx context.Context, enough func(clusterSample) bool) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		m, err := c.sample(ctx)
		if err != nil {
			return err
		}
		if c.samples = append(c.samples, m); enough(m) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (c *sampler) sample(ctx context.Context) (clusterSample, error) {
	nodes, err := c.server.nodes(ctx)
	l := c.sender.ledger
	m := clusterSample{after: time.Since(c.began), due: c.sender.due.Load(), taken: l.accepted.Load(), refused: l.refused.Load()}
	for _, n := range nodes {
		if n.Draining {
			m.draining++
			continue
		}
		m.load = (m.load*float64(m.nodes) + n.Load) / float64(m.nodes+1)
		m.nodes++
	}
	return m, err
}

// member is the part of a node's description that the sampler reads.
type member struct {
	Draining bool
	Load     float64
}

// nodes returns the nodes of the cluster.
func (s *server) nodes(ctx context.Context) ([]member, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.node.URL+"/admin/v1/nodes", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.secrets.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list the nodes: %s", resp.Status)
	}
	var answer struct{ Items []member }
	return answer.Items, json.NewDecoder(resp.Body).Decode(&answer)
}

func (c *sampler) last() clusterSample { return c.samples[len(c.samples)-1] }

// maxNodes returns the largest number of nodes that accepted calls at the same time.
func (c *sampler) maxNodes() (nodes int) {
	for _, m := range c.samples {
		nodes = max(nodes, m.nodes)
	}
	return nodes
}

// values returns one value of every sample.
func (c *sampler) values(of func(clusterSample) float64) (all []float64) {
	for _, m := range c.samples {
		all = append(all, of(m))
	}
	return all
}

// rates returns the events per second between consecutive samples; the first rate is 0.
func (c *sampler) rates(of func(clusterSample) int64) (perSecond []float64) {
	was := clusterSample{}
	for _, m := range c.samples {
		rate := 0.0
		if took := (m.after - was.after).Seconds(); took > 0 && was.after > 0 {
			rate = float64(of(m)-of(was)) / took
		}
		perSecond = append(perSecond, rate)
		was = m
	}
	return perSecond
}

// fewLines is the approximate number of table rows of course.
const fewLines = 24

// course returns the samples as a table; each row covers the time since the previous row.
func (c *sampler) course() []string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "after\toffered/s\ttaken/s\trefused/s\tload\tnodes\tdraining\t")
	shown := sampler{}
	for i, m := range c.samples {
		if i%max(1, len(c.samples)/fewLines) == 0 || i == len(c.samples)-1 {
			shown.samples = append(shown.samples, m)
		}
	}
	offered, taken, refused := shown.rates(dueThen), shown.rates(takenThen), shown.rates(refusedThen)
	for i, m := range shown.samples {
		fmt.Fprintf(t, "%.1f s\t%.0f\t%.0f\t%.0f\t%.2f\t%d\t%d\t\n", m.after.Seconds(), offered[i], taken[i], refused[i], m.load, m.nodes, m.draining)
	}
	_ = t.Flush() // a strings.Builder returns no errors
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func dueThen(m clusterSample) int64     { return m.due }
func takenThen(m clusterSample) int64   { return m.taken }
func refusedThen(m clusterSample) int64 { return m.refused }

// series returns the samples for the report.
func (c *sampler) series() []Series {
	every := c.every.Seconds()
	return []Series{
		{Autoscale, "offered", "messages/s", every, c.rates(dueThen)},
		{Autoscale, "taken", "messages/s", every, c.rates(takenThen)},
		{Autoscale, "refused", "calls/s", every, c.rates(refusedThen)},
		{Autoscale, "nodes that take calls", "", every, c.values(func(m clusterSample) float64 { return float64(m.nodes) })},
		{Autoscale, "nodes that drain", "", every, c.values(func(m clusterSample) float64 { return float64(m.draining) })},
		{Autoscale, "load", "", every, c.values(func(m clusterSample) float64 { return m.load })},
	}
}

// plot draws the offered load, the accepted load and the capacity of the nodes, labelled where the number of nodes
// changes.
func (c *sampler) plot(file string, capacity float64) error {
	able := c.values(func(m clusterSample) float64 { return capacity * float64(m.nodes) })
	offered, taken := c.rates(dueThen), c.rates(takenThen)
	top := 0.0
	for i := range able {
		top = max(top, able[i], offered[i], taken[i])
	}
	p := newChart("Nodes that come and go with the load, messages per second", 1.15*top, timeLabels(c.last().after))
	none := make([]float64, len(able))
	p.area(able, none, "#dddddd")
	p.area(taken, none, "#4393c3")
	p.line(offered, dashed)
	for i := range able {
		if i == 0 || able[i] != able[i-1] {
			p.note(float64(i)/float64(len(able)-1), able[i], count(c.samples[i].nodes))
		}
	}
	p.fills("nodes can take", "#dddddd")
	p.fills("taken", "#4393c3")
	p.strokes("offered", dashed)
	return p.write(file)
}

func count(nodes int) string {
	if nodes == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", nodes)
}
