package torture

import (
	"context"
	"fmt"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the way from one node to one server.
type link struct {
	name  string
	proxy *toxiproxy.Proxy
}

// newLink begins to listen for the node.
func newLink(name, listen, server string) (*link, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{name, toxiproxy.NewProxy(api, name, listen, server)}
	return l, l.proxy.Start()
}

// addr is what the node is told in place of the server's address.
func (l *link) addr() string { return l.proxy.Listen }

// harm is what a link can suffer.
type harm string

const (
	delayed   harm = "delayed"   // everything comes late, in its order
	swallowed harm = "swallowed" // nothing comes through, connections stand until they break by themselves or the link is healed
	severed   harm = "severed"   // connections break at once and new ones are refused
)

// harms are all of them.
var harms = []harm{delayed, swallowed, severed}

// toxics are what toxiproxy is told, in both directions. 300 ms with 200 ms of jitter is far above a commit and below every
// timeout of a node.
var toxics = map[harm]string{
	delayed:   `{"name":%[1]q,"type":"latency","stream":%[1]q,"attributes":{"latency":300,"jitter":200}}`,
	swallowed: `{"name":%[1]q,"type":"timeout","stream":%[1]q,"attributes":{"timeout":0}}`,
}

var directions = []string{"upstream", "downstream"}

// hurt begins a harm.
func (l *link) hurt(h harm) error {
	if h == severed {
		l.proxy.Stop()
		return nil
	}
	for _, direction := range directions {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(toxics[h], direction))); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, h, err)
		}
	}
	return nil
}

// heal ends it. Connections that swallowed something break then.
func (l *link) heal(ctx context.Context, h harm) error {
	if h == severed {
		return l.proxy.Start()
	}
	for _, direction := range directions {
		if err := l.proxy.Toxics.RemoveToxic(ctx, direction); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, h, err)
		}
	}
	return nil
}

func (l *link) close() { l.proxy.Stop() }
