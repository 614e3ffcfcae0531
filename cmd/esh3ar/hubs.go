package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/account"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/signalr"
)

// hubs are the SignalR servers of a node: each has its own methods and its own way to tell who connects.
type hubs struct{ phones, businesses *signalr.Server }

// open makes the servers. Pages of every origin may use them: a credential is in each request, and none is sent along by a
// browser on its own. A page that a gateway served is of another origin than the node that the gateway sends it to.
func (h *hubs) open(n *node, keys *account.Keys) {
	o := signalr.Options{Node: n.id, OnUnknownToken: n.toOtherNode, AllowOrigin: signalr.AnyOrigin, Logger: n.log}
	phones, businesses := o, o
	phones.Authenticate, phones.OnNegotiate = hub.Authenticate(n.account.Tokens), n.redirectPhone
	businesses.Authenticate, businesses.OnNegotiate = hub.AuthenticateBusiness(keys), n.redirectBusiness
	h.phones = signalr.NewServer(hub.Mobile(n.engine), phones)
	h.businesses = signalr.NewServer(hub.Business(n.feed, keys), businesses)
}

func (h *hubs) run() error {
	var group errgroup.Group
	group.Go(func() error { return h.phones.Run(context.Background()) })
	group.Go(func() error { return h.businesses.Run(context.Background()) })
	return group.Wait()
}

// connections are those of phones and businesses together.
func (h *hubs) connections() int { return h.phones.Stats().Active + h.businesses.Stats().Active }

// shutdown moves everybody away.
func (h *hubs) shutdown(ctx context.Context) error {
	return errors.Join(h.phones.Shutdown(ctx), h.businesses.Shutdown(ctx))
}
