package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// lister lists the nodes of the cluster.
type lister interface {
	Nodes(ctx context.Context) ([]membership.Node, error)
}

// Options make a Gateway. Nodes or Registry must be given; the zero value of another field means its default.
type Options struct {
	Nodes    []string // URLs of a fixed list; beside a Registry it stands until that lists a node
	Registry lister   // lists the nodes; while it does not answer its last list stands
	Secret   string   // shown to Nodes, so that they say how they are; nodes of the Registry have proofs there; empty: none

	// HubOf returns the path of the SignalR hub that a request path belongs to, "" if none, and reports whether the request negotiates.
	// Nil: there are no hubs.
	HubOf func(path string) (hub string, negotiate bool)

	// Proxies are the peers whose X-Forwarded-For says where a request comes from.
	Proxies []netip.Prefix
	// Tunnels lets WebSockets through: for clients that skip negotiation. Others are sent to their node all the same.
	Tunnels bool
	// ForwardAdmin lets the operator's routes through: /admin, /metrics and profiles of the nodes. Without it they are refused.
	ForwardAdmin bool
	// NodeOf gives the name of the node that a request's connection token names; "": none. Nil: none does.
	NodeOf func(*http.Request) string

	Rules           balance.Rules
	CheckEvery      time.Duration // default 1 s
	CheckWithin     time.Duration // default 1 s
	ResponseTimeout time.Duration // of a call whose body is here, with its repeats; default 30 s
	StreamWithin    time.Duration // until a stream or a poll begins to be answered; default 3 min
	TakeWithin      time.Duration // of a caller, a part of a long answer, or of either side of a tunnel; default 30 s
	Waiting         int           // calls that wait for a slot at a node; beyond them 503; default 10,000
	QueueTimeout    time.Duration // how long they do; default 1 s
	Memory          int64         // of bodies and answers above 16 KiB, in bytes; default 256 MiB
	Large           int           // calls under way with a body above 128 KiB or a page; default a quarter of a node's slots
	Notice          time.Duration // from "not ready" to the end of streams, for who looks at /readyz; default 2 s

	Metrics http.Handler                                       // for GET /metrics; nil: there are none
	Observe func(route string, status int, took time.Duration) // after each call; must be quick
	Log     *slog.Logger
	Random  func(n int64) int64 // in [0, n), from any goroutine; default math/rand/v2
	Now     func() time.Time
}

// CheckURL tells what is wrong with the URL of a node.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is not an http or https URL", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("%q must end after the port", text)
	}
	return u, nil
}

func (o *Options) check() error {
	if len(o.Nodes) == 0 && o.Registry == nil {
		return errors.New("gateway: a list of nodes or a registry is needed")
	}
	for _, node := range o.Nodes {
		if err := CheckURL(node); err != nil {
			return err
		}
	}
	return nil
}
