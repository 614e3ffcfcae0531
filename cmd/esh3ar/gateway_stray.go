package main

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/route"
)

// askPeers bounds the look for the node of a stray request.
const askPeers = time.Second

// toOtherNode forwards a request for a connection of another node of the cluster: a balancer that does not read tokens brings
// them anywhere. Whoever makes up a token gets to a node that exists or nowhere, and is asked there who he is.
func (n *node) toOtherNode(w http.ResponseWriter, r *http.Request, name string) bool {
	if n.cluster == nil || r.Header.Get(gateway.MarkHeader) == gateway.MarkForwarded {
		return false
	}
	base := n.urlOf(r.Context(), route.NodeID(name))
	if base == nil {
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a poll may be longer than the server's patience
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Set(gateway.MarkHeader, gateway.MarkForwarded)
		},
		FlushInterval: -1, // events are passed on as they come
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			n.log.Debug("the node of a stray request does not answer", "node", name, "error", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
	return true
}

// urlOf finds the node of that name in the registry; nil: it is not there.
func (n *node) urlOf(ctx context.Context, name route.NodeID) *url.URL {
	ctx, cancel := context.WithTimeout(ctx, askPeers)
	defer cancel()
	nodes, err := n.cluster.redis.Registry().Nodes(ctx)
	if err != nil {
		return nil
	}
	for i := range nodes {
		if nodes[i].ID == name && name != route.NodeID(n.id) {
			if u, err := url.Parse(nodes[i].URL); err == nil {
				return u
			}
		}
	}
	return nil
}
