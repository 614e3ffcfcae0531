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

// throughGateway reports whether a gateway has chosen this node for a connection that bypasses the gateway. A client that sets
// the header itself is only redirected to the node that it already called.
func throughGateway(r *http.Request) bool {
	return r.Header.Get(gateway.MarkHeader) == gateway.MarkNegotiate
}

func (n *node) redirectPhone(r *http.Request, who signalr.Identity) (signalr.Redirect, error) {
	if throughGateway(r) {
		return hub.RedirectPhone(n.url, n.account.Tokens, who)
	}
	device := who.Principal.(auth.Device)                                         //nolint:forcetypeassert // set by Authenticate
	if elsewhere := n.moving.RedirectTarget(device.Redirected); elsewhere != "" { // this node is over its load, or drains
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

// redisPrefix is the prefix of all keys in Redis. The list of clusters is below it.
const redisPrefix = "esh3ar:"

// ClusterPrefix returns the prefix of the keys of one cluster.
func ClusterPrefix(cluster string) string { return redisPrefix + cluster + ":" }

// directory returns the list of the clusters in a Redis. Clusters announce themselves in it as nodes do.
func directory(client *redis.Client, cluster string) *redis.Registry {
	return client.RegistryAt(redisPrefix+"clusters:", membership.NodeID(cluster)).Shared()
}

// advertisedRegistry also announces the cluster itself, for gateways that have no database to read its name from.
type advertisedRegistry struct {
	*redis.Registry
	clusters *redis.Registry
}

// Announce implements membership.Registry. A failure to announce the cluster does not keep the node from joining it.
func (f advertisedRegistry) Announce(ctx context.Context, n membership.Node) (membership.Node, error) {
	_, _ = f.clusters.Announce(ctx, membership.Node{Version: n.Version}) // repeated every second
	return f.Registry.Announce(ctx, n)
}
