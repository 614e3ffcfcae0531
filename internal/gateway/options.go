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

// lister is a registry of the cluster's nodes.
type lister interface {
	Nodes(ctx context.Context) ([]membership.Node, error)
}

// Options configure a Gateway. Nodes or Registry is required; other zero fields have defaults.
type Options struct {
	Nodes    []string // URLs of a fixed list; with a Registry, used until it lists a node
	Registry lister   // lists the nodes; while it is unavailable its last list is used
	Secret   string   // sent to Nodes so that they report their load; nodes of the Registry have proofs there; empty: none

	// HubOf returns the path of the SignalR hub that a request path belongs to, or "", and whether the request negotiates.
	// nil: there are no hubs.
	HubOf func(path string) (hub string, negotiate bool)

	// Proxies are the peers whose X-Forwarded-For header is trusted.
	Proxies []netip.Prefix
	// Tunnels allows WebSockets through the gateway, for clients that skip negotiation.
	Tunnels bool
	// ForwardAdmin forwards the operator's routes: /admin, /metrics and profiles of the nodes. Otherwise they are refused.
	ForwardAdmin bool
	// NodeOf returns the name of the node in a request's connection token, or "". nil: tokens name no node.
	NodeOf func(*http.Request) string

	Rules                 balance.Rules
	CheckInterval         time.Duration // default 1 s
	CheckTimeout          time.Duration // default 1 s
	ResponseTimeout       time.Duration // bound of a call after its body has arrived, retries included; default 30 s
	StreamResponseTimeout time.Duration // bound of the time until a stream or poll starts its response; default 3 min
	WriteTimeout          time.Duration // bound of writing a part of a response, or of a tunnel's data, to a peer; default 30 s
	Waiting               int           // calls that may wait for a slot; more are answered 503; default 10,000
	QueueTimeout          time.Duration // how long a call waits for a slot; default 1 s
	Memory                int64         // bytes for request and response bodies above 16 KiB; default 256 MiB
	Large                 int           // concurrent calls with a body above 128 KiB or for a page; default a quarter of a node's slots
	DrainNotice           time.Duration // time between not ready and the end of streams, for load balancers that check /readyz; default 2 s

	Metrics http.Handler                                       // handler of GET /metrics; nil: not found
	Observe func(route string, status int, took time.Duration) // called after each call; must not block
	Log     *slog.Logger
	Random  func(n int64) int64 // random number in [0, n); safe for concurrent use; default math/rand/v2
	Now     func() time.Time
}

// CheckURL returns an error if text is not a valid URL of a node.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not an http or https URL", text)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
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
