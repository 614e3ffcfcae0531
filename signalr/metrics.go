package signalr

import (
	"slices"
	"sync/atomic"
	"time"
)

// MetricKind is how the values of a [Metric] behave.
type MetricKind int

// Kinds of metrics, as OpenTelemetry has them.
const (
	MetricCounter       MetricKind = iota // only grows
	MetricUpDownCounter                   // a current number
	MetricHistogram
)

// Metric is one measurement with one set of attributes, under OpenTelemetry's names where it has one:
//
//	signalr.server.active_connections  {connection}  signalr.transport
//	signalr.server.connection.duration s             signalr.transport, signalr.connection.status
//	signalr.server.messages            {message}     network.io.direction
//	signalr.server.io                  By            network.io.direction
//	signalr.server.panics              {panic}       signalr.panic.origin
//	signalr.server.refused_connections  {connection}
//	signalr.server.replaced_connections {connection}
//	signalr.server.unfinished_messages By
//	signalr.server.unread_output       By
//	signalr.server.unread_connections  {connection}
//
// All but the first two are this package's own. Names with dots are turned into those of Prometheus by its own rules: dots become
// underscores, units and _total go behind.
type Metric struct {
	Name, Unit, Help string
	Kind             MetricKind
	Attributes       []Attribute
	Value            int64   // of counters
	Count            int64   // of a histogram
	Sum              float64 // of a histogram
	Buckets          []Bucket
}

// Attribute is a name and a value.
type Attribute struct{ Key, Value string }

// Bucket is how many values of a histogram were at most UpTo; it counts those of the smaller buckets, too. What was above
// the last one is in Count only.
type Bucket struct {
	UpTo  float64
	Count int64
}

// durationBounds are those OpenTelemetry advises for the duration of connections, in seconds.
var durationBounds = [...]float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300}

// durations is a histogram.
type durations struct {
	buckets [len(durationBounds) + 1]atomic.Int64
	nanos   atomic.Int64
}

func (d *durations) add(lasted time.Duration) {
	at, _ := slices.BinarySearch(durationBounds[:], lasted.Seconds())
	d.buckets[at].Add(1)
	d.nanos.Add(int64(lasted))
}

func (d *durations) metric(m Metric) Metric {
	for i := range d.buckets {
		m.Count += d.buckets[i].Load()
		if i < len(durationBounds) {
			m.Buckets = append(m.Buckets, Bucket{durationBounds[i], m.Count})
		}
	}
	m.Sum = time.Duration(d.nanos.Load()).Seconds()
	return m
}

// statuses are the ends a connection can have, and OpenTelemetry's word for each.
var statuses = [...]string{StatusNormal, StatusTimeout, StatusShutdown, StatusError}

// transportNames are OpenTelemetry's, in the order of the transports' bits.
var transportNames = [...]string{"web_sockets", "server_sent_events", "long_polling"}

// perTransport is what is counted for one transport.
type perTransport struct {
	active atomic.Int64
	ended  [len(statuses)]durations
}

func (c *counters) of(kind Transports) *perTransport {
	switch kind {
	case ServerSentEvents:
		return &c.transports[1]
	case LongPolling:
		return &c.transports[2]
	default:
		return &c.transports[0]
	}
}

func (c *counters) begun(kind Transports) {
	c.started.Add(1)
	c.of(kind).active.Add(1)
}

func (c *counters) over(kind Transports, status string, lasted time.Duration) {
	c.ended(status)
	t := c.of(kind)
	t.active.Add(-1)
	if at := slices.Index(statuses[:], status); at >= 0 {
		t.ended[at].add(lasted)
	}
}

// Metrics returns all measurements, for those who export them. Like [Server.Stats] it only reads counters.
func (s *Server) Metrics() []Metric {
	var all []Metric
	c := &s.counters
	for i, name := range transportNames {
		transport := Attribute{"signalr.transport", name}
		all = append(all, Metric{
			Name: "signalr.server.active_connections", Unit: "{connection}", Kind: MetricUpDownCounter,
			Help:       "Number of connections that are currently active on the server.",
			Attributes: []Attribute{transport}, Value: c.transports[i].active.Load(),
		})
		for j, status := range statuses {
			all = append(all, c.transports[i].ended[j].metric(Metric{
				Name: "signalr.server.connection.duration", Unit: "s", Kind: MetricHistogram,
				Help:       "The duration of connections on the server.",
				Attributes: []Attribute{transport, {"signalr.connection.status", status}},
			}))
		}
	}
	return append(all,
		directed("signalr.server.messages", "{message}", "Hub messages.", "receive", c.messagesIn.Load()),
		directed("signalr.server.messages", "{message}", "Hub messages.", "transmit", c.messagesOut.Load()),
		directed("signalr.server.io", "By", "Bytes received from clients, and bytes of hub messages sent.", "receive", c.bytesIn.Load()),
		directed("signalr.server.io", "By", "Bytes received from clients, and bytes of hub messages sent.", "transmit", c.bytesOut.Load()),
		Metric{
			Name: "signalr.server.refused_connections", Unit: "{connection}", Kind: MetricCounter,
			Help: "Connections and negotiations that were refused because their user has too many.", Value: c.refused.Load(),
		},
		Metric{
			Name: "signalr.server.replaced_connections", Unit: "{connection}", Kind: MetricCounter,
			Help: "Connections that were closed for newer ones of their device.", Value: c.replaced.Load(),
		},
		Metric{
			Name: "signalr.server.unfinished_messages", Unit: "By", Kind: MetricUpDownCounter,
			Help: "Bytes that wait for the rest of their message, or for an invocation slot.", Value: s.unfinished.Load(),
		},
		Metric{
			Name: "signalr.server.unread_output", Unit: "By", Kind: MetricUpDownCounter,
			Help: "Bytes of output that wait for clients that read slowly, in steps of 4 KiB for each.", Value: s.unread.Load(),
		},
		Metric{
			Name: "signalr.server.unread_connections", Unit: "{connection}", Kind: MetricCounter,
			Help: "Connections that were dropped because those of their user held too much output.", Value: c.unreadEnded.Load(),
		},
		panics(panicOfApplication, c.appPanics.Load()), panics(panicOfServer, c.ownPanics.Load()))
}

func panics(origin string, value int64) Metric {
	return Metric{
		Name: "signalr.server.panics", Unit: "{panic}", Kind: MetricCounter,
		Help:       "Panics that were recovered, by whose code panicked.",
		Attributes: []Attribute{{"signalr.panic.origin", origin}}, Value: value,
	}
}

func directed(name, unit, help, direction string, value int64) Metric {
	return Metric{
		Name: name, Unit: unit, Help: help, Kind: MetricCounter,
		Attributes: []Attribute{{"network.io.direction", direction}}, Value: value,
	}
}
