package node

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/signalr"
)

// hubs are the SignalR servers of a node. Each has its own methods and authentication.
type hubs struct {
	phones, businesses *signalr.Server
	backplanes         backplanes
	misrouted          *misroutedForwarder
}

// open creates the servers. Every origin may use them: each request carries its credential explicitly, and a browser adds none. A
// page that was loaded from a gateway has another origin than the node that the gateway redirects it to.
func (h *hubs) open(n *node, keys *auth.Keys) {
	o := signalr.Options{Node: n.id, AllowOrigin: signalr.AnyOrigin, Logger: n.log}
	phones, businesses := o, o
	phones.Authenticate, phones.OnNegotiate = hub.Authenticate(n.account.Tokens), n.redirectPhone
	businesses.Authenticate, businesses.OnNegotiate = hub.AuthenticateBusiness(keys), n.redirectBusiness
	h.misrouted = newMisroutedForwarder(n)
	phones.OnUnknownToken = h.misrouted.forward(phones.Authenticate)
	businesses.OnUnknownToken = h.misrouted.forward(businesses.Authenticate)
	hub.LimitPhones(&phones)
	hub.LimitBusinesses(&businesses)
	if n.cluster != nil {
		h.backplanes = n.cluster.backplanes()
		phones.Backplane, businesses.Backplane = h.backplanes["mobile"], h.backplanes["business"]
	}
	mobile := hub.Mobile(n.engine)
	hub.RefuseRevoked(mobile, n.account.Tokens)
	h.phones = signalr.NewServer(mobile, phones)
	n.account.Watch.OnRevoked = func(r esh3ar.Revocation) { hub.EndRevoked(h.phones, n.account.Tokens, r) }
	n.account.Watch.OnError = func(err error) { n.log.Debug("read the credentials", "error", err) }
	h.businesses = signalr.NewServer(hub.Business(n.feed, keys, n.cursors), businesses)
}

func (h *hubs) run() error {
	var group errgroup.Group
	group.Go(func() error { return h.phones.Run(context.Background()) })
	group.Go(func() error { return h.businesses.Run(context.Background()) })
	return group.Wait()
}

// join connects the servers to those of the other nodes until ctx ends.
func (h *hubs) join(ctx context.Context) error {
	var group errgroup.Group
	for name, server := range h.named() {
		if plane := h.backplanes[name]; plane != nil {
			group.Go(func() error { return plane.Run(ctx, server) })
		}
	}
	return group.Wait()
}

// named returns the servers by their names in metrics and on the backplane.
func (h *hubs) named() map[string]*signalr.Server {
	return map[string]*signalr.Server{"mobile": h.phones, "business": h.businesses}
}

// connections returns the number of connections of phones and businesses.
func (h *hubs) connections() int { return h.phones.Stats().Active + h.businesses.Stats().Active }

// shutdown closes all connections; clients reconnect elsewhere.
func (h *hubs) shutdown(ctx context.Context) error {
	return errors.Join(h.phones.Shutdown(ctx), h.businesses.Shutdown(ctx))
}
