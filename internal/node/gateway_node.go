package node

import (
	"context"
	"net/http"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/signalr"
)

// throughGateway tells whether a gateway has chosen this node for a connection that is not to run through it. Who says so
// without a gateway is sent to where he is.
func throughGateway(r *http.Request) bool {
	return r.Header.Get(gateway.MarkHeader) == gateway.MarkNegotiate
}

func (n *node) redirectPhone(r *http.Request, who signalr.Identity) (signalr.Redirect, error) {
	if throughGateway(r) {
		return hub.RedirectPhone(n.url, n.account.Tokens, who)
	}
	device := who.Principal.(auth.Device)                              //nolint:forcetypeassert // set by Authenticate
	if elsewhere := n.moving.Elsewhere(device.Sent); elsewhere != "" { // this node is over its load, or drains
		return hub.RedirectPhone(elsewhere, n.account.Tokens, who)
	}
	return signalr.Redirect{}, nil
}

func (n *node) redirectBusiness(r *http.Request, _ signalr.Identity) (signalr.Redirect, error) {
	if !throughGateway(r) {
		return signalr.Redirect{}, nil
	}
	return hub.RedirectBusiness(n.url), nil
}

// Where the clusters of a Redis are listed, and where one keeps its own.
const redisPrefix = "esh3ar:"

func ClusterPrefix(cluster string) string { return redisPrefix + cluster + ":" }

// directory lists the clusters that live in a Redis, as nodes are listed: by who says that he is there.
func directory(client *redis.Client, cluster string) *redis.Registry {
	return client.RegistryAt(redisPrefix+"clusters:", membership.NodeID(cluster)).Shared()
}

// findable is a registry whose cluster can be found by gateways, which know no database to ask for its name.
type findable struct {
	*redis.Registry
	clusters *redis.Registry
}

// Announce realises route.Registry. That the cluster cannot be listed is no reason not to be in it.
func (f findable) Announce(ctx context.Context, n membership.Node) (before membership.Node, err error) {
	_, _ = f.clusters.Announce(ctx, membership.Node{Version: n.Version}) // the next one is a second away
	return f.Registry.Announce(ctx, n)
}
