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

// hubs are the SignalR servers of a node: each has its own methods and its own way to tell who connects.
type hubs struct {
	phones, businesses *signalr.Server
	planes             planes
}

// open makes the servers. Pages of every origin may use them: a credential is in each request, and none is sent along by a
// browser on its own. A page that a gateway served is of another origin than the node that the gateway sends it to.
func (h *hubs) open(n *node, keys *auth.Keys) {
	o := signalr.Options{Node: n.id, AllowOrigin: signalr.AnyOrigin, Logger: n.log}
	phones, businesses := o, o
	phones.Authenticate, phones.OnNegotiate = hub.Authenticate(n.account.Tokens), n.redirectPhone
	businesses.Authenticate, businesses.OnNegotiate = hub.AuthenticateBusiness(keys), n.redirectBusiness
	strays := newStrays(n)
	phones.OnUnknownToken = strays.forward(phones.Authenticate)
	businesses.OnUnknownToken = strays.forward(businesses.Authenticate)
	hub.LimitPhones(&phones)
	hub.LimitBusinesses(&businesses)
	if n.cluster != nil {
		h.planes = n.cluster.planes()
		phones.Backplane, businesses.Backplane = h.planes["mobile"], h.planes["business"]
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

// join joins the servers with those of the other nodes until ctx ends.
func (h *hubs) join(ctx context.Context) error {
	var group errgroup.Group
	for name, server := range h.named() {
		if plane := h.planes[name]; plane != nil {
			group.Go(func() error { return plane.Run(ctx, server) })
		}
	}
	return group.Wait()
}

// named are the servers by their names in metrics and on the backplane.
func (h *hubs) named() map[string]*signalr.Server {
	return map[string]*signalr.Server{"mobile": h.phones, "business": h.businesses}
}

// connections are those of phones and businesses together.
func (h *hubs) connections() int { return h.phones.Stats().Active + h.businesses.Stats().Active }

// shutdown moves everybody away.
func (h *hubs) shutdown(ctx context.Context) error {
	return errors.Join(h.phones.Shutdown(ctx), h.businesses.Shutdown(ctx))
}
