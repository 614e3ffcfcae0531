// Package badlink is a way from a node to a server that can be made slow, silent or broken while it is used, for tests and
// instruments. It is toxiproxy in this process; it knows nothing of what goes through.
//
// Concurrency: a Link is one owner's; what goes through it may be anything.
package badlink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is the way to one server.
type Link struct {
	name  string
	proxy *toxiproxy.Proxy
}

// New begins to listen, on a free port where that is 0, and leads whoever comes to the server.
func New(name, listen, server string) (*Link, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{name, toxiproxy.NewProxy(api, name, listen, server)}
	return l, l.proxy.Start()
}

// Addr is what a client is told in place of the server's address.
func (l *Link) Addr() string { return l.proxy.Listen }

// Name is what it was made with.
func (l *Link) Name() string { return l.name }

// Harm is what a link can suffer; the zero value is none.
type Harm struct {
	Kind   Kind
	Delay  time.Duration // of Delayed
	Jitter time.Duration // around it
}

// Kind is the kind of a harm.
type Kind string

// The kinds.
const (
	Delayed   Kind = "delayed"   // everything comes late, in its order
	Swallowed Kind = "swallowed" // nothing comes through, connections stand until they break by themselves or the link is healed
	Severed   Kind = "severed"   // connections break at once and new ones are refused
)

var directions = []string{"upstream", "downstream"}

// toxic is what toxiproxy is told for one direction.
func (h Harm) toxic(direction string) string {
	if h.Kind == Swallowed {
		return fmt.Sprintf(`{"name":%[1]q,"type":"timeout","stream":%[1]q,"attributes":{"timeout":0}}`, direction)
	}
	return fmt.Sprintf(`{"name":%[1]q,"type":"latency","stream":%[1]q,"attributes":{"latency":%d,"jitter":%d}}`,
		direction, h.Delay.Milliseconds(), h.Jitter.Milliseconds())
}

// Hurt begins a harm; one at a time.
func (l *Link) Hurt(h Harm) error {
	if h.Kind == Severed {
		l.proxy.Stop()
		return nil
	}
	for _, direction := range directions {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(h.toxic(direction))); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, h.Kind, err)
		}
	}
	return nil
}

// Heal ends it. Connections that swallowed something break then.
func (l *Link) Heal(ctx context.Context, h Harm) error {
	if h.Kind == Severed {
		return l.proxy.Start()
	}
	for _, direction := range directions {
		if err := l.proxy.Toxics.RemoveToxic(ctx, direction); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, h.Kind, err)
		}
	}
	return nil
}

// Close breaks all connections and listens no more.
func (l *Link) Close() { l.proxy.Stop() }
