package node

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/cluster/backplane"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/signalr"
)

// TestHubMetrics gathers as /metrics does: all names and labels fit their descriptions.
func TestHubMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(hubMetrics{&hubs{
		phones:     signalr.NewServer(signalr.NewHub(), signalr.Options{Pollers: -1}),
		backplanes: backplanes{"mobile": backplane.New(backplane.Options{Transport: new(redis.Client).BatchTransport("mobile")})},
	}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	if got := strings.Join(names, " "); got != "esh3ar_backplane_messages_total signalr_server_active_connections signalr_server_connection_duration_seconds signalr_server_io_bytes_total signalr_server_messages_total signalr_server_panics_total signalr_server_refused_connections_total signalr_server_replaced_connections_total signalr_server_unfinished_messages_bytes signalr_server_unread_connections_total signalr_server_unread_output_bytes" {
		t.Error(got)
	}
	for _, m := range signalr.NewServer(signalr.NewHub(), signalr.Options{Pollers: -1}).Metrics() {
		if hubDescs[m.Name] == nil {
			t.Errorf("%s is not exported", m.Name)
		}
	}
}
