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
	"github.com/esh3artech/esh3ar/internal/requestid"
	"github.com/esh3artech/esh3ar/signalr"
)

// Limits of requests that reach this node but belong to a connection of another node.
const (
	maxMisrouted           = 4096             // concurrent requests; one user has at most a quarter while others have requests too
	misroutedDialTimeout   = 3 * time.Second  // time to connect to the other node
	misroutedAnswerTimeout = 3 * time.Minute  // time until the first byte of its answer; a poll is answered after at most 90 s
	misroutedTimeout       = time.Minute      // time for a whole POST or DELETE, with its body and its answer
	misroutedIdleTimeout   = 30 * time.Second // time after which an idle connection to another node is closed
	misroutedPerUser       = 8                // requests that one user may always have
	misroutedIdlePerNode   = 64               // idle connections kept per node
	maxMisroutedWaits      = 256              // requests that wait for the registry to list their node; further ones are not forwarded
)

// misroutedForwarder forwards requests for connections of other nodes of the cluster. A load balancer that does not read connection
// tokens sends such requests to any node. A request is forwarded only after this node has verified its credential, and only to a node
// in the list that this node reads from the registry every second. A token that names no listed node waits for the next lists, because
// its node may have joined a moment ago. Waiting requests have a pool of their own: after a node has died, the many requests for its
// connections must not take the places of those that can be forwarded.
type misroutedForwarder struct {
	node      *node
	transport *http.Transport
	requests  *fairshare.Pool[string] // forwarded, by user
	waits     *fairshare.Pool[string] // waiting for a list, by user
}

func newMisroutedForwarder(n *node) *misroutedForwarder {
	return &misroutedForwarder{
		node: n,
		transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: misroutedDialTimeout}).DialContext, TLSHandshakeTimeout: misroutedDialTimeout,
			ResponseHeaderTimeout: misroutedAnswerTimeout, IdleConnTimeout: misroutedIdleTimeout, MaxIdleConnsPerHost: misroutedIdlePerNode,
		},
		requests: fairshare.New[string](fairshare.Options{Name: "misrouted_requests", Total: maxMisrouted, Guaranteed: misroutedPerUser}),
		waits:    fairshare.New[string](fairshare.Options{Name: "misrouted_waits", Total: maxMisroutedWaits, Guaranteed: 1}),
	}
}

// Shares returns the use of both pools.
func (f *misroutedForwarder) Shares() []fairshare.Stats {
	return []fairshare.Stats{f.requests.Stats(), f.waits.Stats()}
}

// forward returns the handler for requests whose token names another node. If the credential is invalid, the hub of authenticate
// answers the request.
func (f *misroutedForwarder) forward(authenticate func(*http.Request) (signalr.Identity, error)) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, name string) bool {
		id := membership.NodeID(name)
		if f.node.cluster == nil || id == membership.NodeID(f.node.id) || r.Header.Get(gateway.MarkHeader) == gateway.MarkForwarded {
			return false
		}
		who, err := authenticate(r)
		if err != nil {
			return false
		}
		base := f.urlOf(r.Context(), id, who.UserID)
		if base == nil {
			return false
		}
		if err := f.requests.TryAcquire(who.UserID, 1); err != nil {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		defer f.requests.Release(who.UserID, 1)
		f.proxy(w, r, base)
		return true
	}
}

func (f *misroutedForwarder) proxy(w http.ResponseWriter, r *http.Request, base *url.URL) {
	if r.Method == http.MethodGet { // a stream or a poll
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a stream or poll may last longer than the server's read timeout
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), misroutedTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	proxy := httputil.ReverseProxy{
		Transport: f.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Set(gateway.MarkHeader, gateway.MarkForwarded)
			p.Out.Header.Set(requestid.Header, requestid.Of(w.Header()))
		},
		ModifyResponse: func(answer *http.Response) error {
			for name := range w.Header() { // the request id and security headers are set already; a second value would be added
				answer.Header.Del(name)
			}
			return nil
		},
		FlushInterval: -1, // flush every write, because events must not wait
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			f.node.log.Debug("the node of a misrouted request does not answer", "node", base.Host, "error", err)
			status := http.StatusBadGateway
			if errors.Is(r.Context().Err(), context.DeadlineExceeded) {
				status = http.StatusGatewayTimeout
			}
			w.WriteHeader(status)
		},
	}
	proxy.ServeHTTP(w, r)
}

// urlOf returns the URL of the node with an id, or nil. If the node is not listed and the user may wait, it waits for newer lists.
func (f *misroutedForwarder) urlOf(ctx context.Context, id membership.NodeID, user string) *url.URL {
	nodes := f.node.cluster.heartbeat
	node, ok := nodes.Lookup(id)
	if !ok && f.waits.TryAcquire(user, 1) == nil {
		node, ok = nodes.Await(ctx, id)
		f.waits.Release(user, 1)
	}
	if !ok {
		return nil
	}
	u, err := url.Parse(node.URL)
	if err != nil {
		return nil
	}
	return u
}
