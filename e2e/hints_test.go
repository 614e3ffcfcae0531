package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// redisCluster starts a Redis Cluster of three masters for one test.
func redisCluster(t *testing.T) *redisproc.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cluster, err := redisproc.StartCluster(ctx, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Kill(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// redisServer starts a single one.
func redisServer(t *testing.T) *redisproc.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := redisproc.StartSingle(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// metric returns the value of a metric of a node or gateway, gathered after the call began. Metrics that are collected every few
// seconds are as old as that: wait for their values.
func (p *platform) metric(name string) float64 {
	p.t.Helper()
	value := p.metricOr(name, math.NaN())
	if math.IsNaN(value) {
		p.t.Fatalf("no metric %s", name)
	}
	return value
}

// metricOr is metric for one that may be absent: missing is returned then.
func (p *platform) metricOr(name string, missing float64) float64 {
	p.t.Helper()
	began := float64(time.Now().UnixMicro()) / 1e6
	var text string
	eventually(p.t, func() bool {
		_, text = p.try(http.MethodGet, "/metrics", "")
		return p.sample(text, "esh3ar_metrics_gathered_timestamp_seconds", 0) >= began
	}, func() string { return "no scrape is newer than the call: " + text })
	return p.sample(text, name, missing)
}

// sample returns the value of a metric in the text of a scrape, or missing.
func (p *platform) sample(text, name string, missing float64) float64 {
	p.t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		value, ok := strings.CutPrefix(lines.Text(), name+" ")
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		return n
	}
	return missing
}

func (p *platform) hints(outcome string) float64 {
	p.t.Helper()
	return p.metric(fmt.Sprintf("esh3ar_route_hints_total{outcome=%q}", outcome))
}

// TestHints_DevicesOnOtherNodes_AllAreTold calls one node while two devices of a phone are connected to two others: every message and every
// acknowledgement is hinted from node to node.
func TestHints_DevicesOnOtherNodes_AllAreTold(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"Redis Cluster": func(t *testing.T) string { t.Helper(); return redisCluster(t).URL() },
		"one Redis":     func(t *testing.T) string { t.Helper(); return redisServer(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, append(unhurried, "--database-url", database(t).URL("postgres"), "--redis-url", url(t))...)
			b, c := a.join(), a.join()
			first, second := newPhone(b, alice, "one", "none"), newPhone(c, alice, "two", "none")
			for _, node := range []*platform{b, c} {
				eventually(t, func() bool { return node.metric(`esh3ar_route_presence_total{outcome="asserted"}`) >= 1 },
					func() string { return "a phone is not known to be there: " + node.node.Stderr.String() })
			}
			lost := "no round"
			for round := 0; lost != "" && round < 3; round++ { // Redis may lose a hint where the machine stands still
				lost = hintsOfARound(t, a, b, c, first, second)
			}
			if lost != "" {
				t.Error(lost)
			}
			if n := a.metric(`esh3ar_backplane_messages_total{hub="mobile",outcome="dropped"}`); n != 0 {
				t.Errorf("the backplane dropped %g", n)
			}
			for _, node := range []*platform{a, b, c} {
				if node.hints("astray")+node.hints("dropped")+node.hints("unlooked")+node.hints("unsent") > 0 {
					t.Error("hints were lost")
				}
			}
		})
	}
}

// hintsOfARound calls node a with 20 messages for two devices on b and c, acknowledges them on the first, and says which hints did not come.
func hintsOfARound(t *testing.T, a, b, c *platform, first, second *phone) (lost string) {
	t.Helper()
	before := [2]float64{b.hints("received"), c.hints("received")}
	had := len(first.got)
	var sent []message
	for i := range 20 {
		sent = append(sent, a.send(alice, fmt.Sprint(i), "normal"))
	}
	for _, ph := range []*phone{first, second} {
		ph.await(had + 20)
		if got := ids(ph.got[had:]); !slices.Equal(got, ids(sent)) {
			t.Errorf("order: %v", contents(ph.got))
		}
	}
	first.invoke("AcknowledgeMessages", ids(sent))
	came := within(patience/6, func() bool { // a message may come before its hint
		return b.hints("received")-before[0] >= 20 && c.hints("received")-before[1] >= 21
	})
	if came {
		return ""
	}
	return fmt.Sprintf("20 messages and an acknowledgement: %g hints came to the first device's node, %g to the other's",
		b.hints("received")-before[0], c.hints("received")-before[1])
}
