package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/signalr"
)

// Limits of requests that reach this node but belong to a connection of another node.
const (
	mostStrays      = 4096             // concurrent requests; one user has at most a quarter while others have requests too
	strayDial       = 3 * time.Second  // time to connect to the other node
	strayAnswer     = 3 * time.Minute  // time until the first byte of its answer; a poll is answered after at most 90 s
	strayWithin     = time.Minute      // time for a whole POST or DELETE, with its body and its answer
	strayIdle       = 30 * time.Second // time after which an idle connection to another node is closed
	straysPerOwner  = 8                // requests that one user may always have
	straysIdlePeers = 64               // idle connections kept per node
)

// strays forwards requests for connections of other nodes of the cluster. A load balancer that does not read connection tokens sends such
// requests to any node. A request is forwarded only after this node has verified its credential, and only to a node in the list that this
// node reads from the registry every second. An invented token causes no look-up and no request to another node. It only waits for the
// next list, within the share of its user.
type strays struct {
	node      *node
	transport *http.Transport
	pool      *fairshare.Pool[string] // by user
}

func newStrays(n *node) *strays {
	return &strays{
		node: n,
		transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: strayDial}).DialContext, TLSHandshakeTimeout: strayDial,
			ResponseHeaderTimeout: strayAnswer, IdleConnTimeout: strayIdle, MaxIdleConnsPerHost: straysIdlePeers,
		},
		pool: fairshare.New[string](fairshare.Options{Name: "strays", Total: mostStrays, Guaranteed: straysPerOwner}),
	}
}

// forward returns the handler for requests whose token names another node. If the credential is invalid, the hub of authenticate
// answers the request.
func (s *strays) forward(authenticate func(*http.Request) (signalr.Identity, error)) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, name string) bool {
		id := membership.NodeID(name)
		if s.node.cluster == nil || id == membership.NodeID(s.node.id) || r.Header.Get(gateway.MarkHeader) == gateway.MarkForwarded {
			return false
		}
		who, err := authenticate(r)
		if err != nil {
			return false
		}
		if err := s.pool.TryAcquire(who.UserID, 1); err != nil {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		defer s.pool.Release(who.UserID, 1)
		base := s.urlOf(r.Context(), id)
		if base != nil {
			s.proxy(w, r, base)
		}
		return base != nil
	}
}

func (s *strays) proxy(w http.ResponseWriter, r *http.Request, base *url.URL) {
	if r.Method == http.MethodGet { // a stream or a poll
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a stream or poll may last longer than the server's read timeout
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), strayWithin)
		defer cancel()
		r = r.WithContext(ctx)
	}
	proxy := httputil.ReverseProxy{
		Transport: s.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Set(gateway.MarkHeader, gateway.MarkForwarded)
		},
		FlushInterval: -1, // flush every write, because events must not wait
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.node.log.Debug("the node of a stray request does not answer", "node", base.Host, "error", err)
			status := http.StatusBadGateway
			if errors.Is(r.Context().Err(), context.DeadlineExceeded) {
				status = http.StatusGatewayTimeout
			}
			w.WriteHeader(status)
		},
	}
	proxy.ServeHTTP(w, r)
}

// urlOf returns the URL of the node with an id, or nil. It waits for a node that has joined a moment ago.
func (s *strays) urlOf(ctx context.Context, id membership.NodeID) *url.URL {
	node, ok := s.node.cluster.find(ctx, id)
	if !ok {
		return nil
	}
	u, err := url.Parse(node.URL)
	if err != nil {
		return nil
	}
	return u
}
