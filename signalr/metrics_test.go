package signalr

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// find returns the measurement with these attribute values.
func find(t *testing.T, all []Metric, name string, attributes ...string) Metric {
	t.Helper()
	for _, m := range all {
		var values []string
		for _, a := range m.Attributes {
			values = append(values, a.Value)
		}
		if m.Name == name && fmt.Sprint(values) == fmt.Sprint(attributes) {
			return m
		}
	}
	t.Fatalf("no %s %v", name, attributes)
	return Metric{}
}

func TestMetrics(t *testing.T) {
	t.Attr("checklist", "point9")
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	c := h.dial()
	if a := h.negotiated("").do("GET", ""); a.status != 200 { // the first poll returns at once
		t.Fatal(a)
	}
	all := h.Metrics()
	for name, want := range map[string]int64{"web_sockets": 1, "long_polling": 1, "server_sent_events": 0} {
		if m := find(t, all, "signalr.server.active_connections", name); m.Value != want || m.Kind != MetricUpDownCounter || m.Unit != "{connection}" {
			t.Errorf("%s: %+v", name, m)
		}
	}
	ask, answer := echo(1)
	before := h.Metrics()
	c.msg(ask)
	c.expect(answer)
	after := h.Metrics()
	for _, tc := range []struct {
		name, direction string
		want            int
	}{
		{"signalr.server.messages", "receive", 1},
		{"signalr.server.messages", "transmit", 1},
		{"signalr.server.io", "receive", len(maskedFrame(0, []byte(ask+"\x1e")))},
		{"signalr.server.io", "transmit", len(answer) + 1},
	} {
		if got := find(t, after, tc.name, tc.direction).Value - find(t, before, tc.name, tc.direction).Value; got != int64(tc.want) {
			t.Errorf("%s %s grew by %d, want %d", tc.name, tc.direction, got, tc.want)
		}
	}
	h.pass(3 * time.Second)
	c.nc.Close()
	h.until("end", func() bool { return h.Stats().Active == 1 })
	m := find(t, h.Metrics(), "signalr.server.connection.duration", "web_sockets", "normal_closure")
	if m.Count != 1 || m.Sum < 3 || m.Sum > 60 || m.Unit != "s" {
		t.Errorf("%+v", m)
	}
	for _, b := range m.Buckets {
		if want := int64(0); b.UpTo <= 2 && b.Count != want || b.UpTo >= 60 && b.Count != 1 {
			t.Errorf("bucket %+v", b)
		}
	}
	h.passStuck(time.Minute) // nobody polls
	h.gone()
	if m := find(t, h.Metrics(), "signalr.server.connection.duration", "long_polling", "timeout"); m.Count != 1 || m.Buckets[len(m.Buckets)-2].Count != 1 {
		t.Errorf("%+v", m)
	}
	for _, m := range h.Metrics() {
		if !strings.HasPrefix(m.Name, "signalr.server.") || m.Help == "" {
			t.Errorf("%+v", m)
		}
		if m.Name == "signalr.server.active_connections" && m.Value != 0 {
			t.Errorf("%+v", m)
		}
	}
}
