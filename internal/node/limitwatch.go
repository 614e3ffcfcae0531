package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/signalr"
)

// limitWatch logs when a limit of the process begins to refuse or close something, and when it no longer does. An attack causes
// millions of refusals, so there is one line at the beginning and one at the end; metrics have the details.
//
// Its fields are used by one goroutine.
type limitWatch struct {
	log    *slog.Logger
	limits []limitCount
	now    func() time.Time
}

// limitCount is the count of one limit.
type limitCount struct {
	limit   string        // what is limited, as docs/security.md names it
	metric  string        // metric with the same count
	refused func() uint64 // refusals since the start

	seen    uint64    // count at the last look
	before  uint64    // count when the refusals began
	began   time.Time // zero while nothing is refused
	lastHit time.Time // last look that found new refusals
}

const (
	limitInterval = 5 * time.Second // time between two reads of the counters
	limitQuiet    = time.Minute     // time without a refusal after which a limit counts as no longer reached
)

// run looks until ctx ends.
func (w *limitWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(limitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.look()
		}
	}
}

// look compares every count with the last one.
func (w *limitWatch) look() {
	now := w.now()
	for i := range w.limits {
		l := &w.limits[i]
		count := l.refused()
		switch {
		case count > l.seen && l.began.IsZero():
			l.began, l.before = now, l.seen
			w.log.Warn("a limit is reached; docs/security.md says what is refused or closed", "limit", l.limit, "count", count-l.seen, "metric", l.metric)
			l.lastHit = now
		case count > l.seen:
			l.lastHit = now
		case !l.began.IsZero() && now.Sub(l.lastHit) >= limitQuiet:
			w.log.Info("a limit is no longer reached", "limit", l.limit, "count", count-l.before, "for", l.lastHit.Sub(l.began).Round(time.Second))
			l.began = time.Time{}
		}
		l.seen = count
	}
}

// connections adds the limits of connections.
func (w *limitWatch) connections(limiter *connlimit.Limiter) {
	w.limits = append(w.limits,
		limitCount{limit: "connections of a process", metric: "esh3ar_connections_refused_total", refused: func() uint64 { return limiter.Stats().Refused }},
		limitCount{limit: "connections without good credentials of one address", metric: "esh3ar_connections_closed_idle_total", refused: func() uint64 {
			return limiter.Stats().Closed[connlimit.ReasonAddress]
		}},
		limitCount{limit: "connections without good credentials", metric: "esh3ar_connections_closed_idle_total", refused: func() uint64 {
			return limiter.Stats().Closed[connlimit.ReasonTotal]
		}},
		limitCount{limit: "connections of a business or a phone number", metric: "esh3ar_connections_over_share_total", refused: func() uint64 {
			return limiter.Stats().OverShare
		}},
	)
}

// gateway adds the limits of a gateway.
func (w *limitWatch) gateway(g *gateway.Gateway) {
	w.limits = append(w.limits,
		limitCount{limit: "calls that are queued at a gateway", metric: "esh3ar_gateway_events_total", refused: func() uint64 { return g.Stats().Full }},
		limitCount{limit: "share of a caller at a gateway", metric: "esh3ar_gateway_events_total", refused: func() uint64 { return g.Stats().Share }},
	)
	w.sharesOf("esh3ar_gateway_shared_refusals_total", func() []fairshare.Stats { return g.Stats().Pools })
}

// node adds the limits of a node.
func (w *limitWatch) node(n *node, keys *auth.Keys) {
	w.connections(n.limiter)
	w.limits = append(w.limits,
		limitCount{limit: "look-ups of unknown API keys of one address", metric: "esh3ar_credentials_refused_total", refused: func() uint64 { return keys.Refused().Throttled }},
		limitCount{limit: "acknowledgements of unknown ids", metric: "esh3ar_delivery_acknowledgements_refused_total", refused: func() uint64 { return n.engine.Stats().AckOver }},
	)
	for name, server := range n.hubs.named() {
		w.limits = append(w.limits,
			limitCount{limit: "connections of a user of hub " + name, metric: "signalr_server_refused_connections_total", refused: func() uint64 {
				return hubCount(server, refusedConnections)
			}},
			limitCount{limit: "unread output of a user of hub " + name, metric: "signalr_server_unread_connections_total", refused: func() uint64 {
				return hubCount(server, unreadConnections)
			}},
		)
	}
}

// Names of counters of a hub.
const (
	refusedConnections = "signalr.server.refused_connections"
	unreadConnections  = "signalr.server.unread_connections"
)

// hubCount returns a counter of a hub.
func hubCount(server *signalr.Server, name string) uint64 {
	for _, m := range server.Metrics() {
		if m.Name == name {
			return uint64(m.Value)
		}
	}
	return 0
}

// sharesOf adds the limits of resources that owners share.
func (w *limitWatch) sharesOf(metric string, stats func() []fairshare.Stats) {
	for i, s := range stats() {
		w.limits = append(w.limits, limitCount{limit: s.Name, metric: metric, refused: func() uint64 {
			now := stats()[i]
			return now.RefusedShare + now.RefusedFull
		}})
	}
}
