package gateway

import (
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// forwardHub forwards a request to a SignalR hub: a negotiation to the node with the most room, and a request of a connection
// to the node that holds it.
func (x *exchange) forwardHub(path string, negotiate bool) {
	x.route = path
	id := x.connectionToken()
	switch upgrade := headerHas(x.r.Header, "Connection", "upgrade"); {
	case negotiate:
		x.route = path + "/negotiate"
		x.negotiate()
	case upgrade && !x.g.opts.Tunnels:
		x.answerProblem(notSupported, "this gateway does not forward WebSockets: negotiate, and connect to the node that answers; or start it with --proxy-websockets")
	case id == "" && upgrade: // the client skips negotiation
		x.class = class{kind: balance.Tunnel, safe: true, proves: true}
		x.forward()
	case id == "":
		x.class = class{within: x.g.opts.ResponseTimeout, limit: maxBody, safe: x.r.Method == http.MethodOptions}
		x.forward()
	default:
		x.toHolder(upgrade)
	}
}

// negotiate forwards a negotiation to the node with the most room, which answers with its own URL. A negotiation stores
// nothing, so it may be retried at another node.
func (x *exchange) negotiate() {
	x.class = class{
		kind: balance.Phone, within: x.g.opts.ResponseTimeout, limit: maxBody, safe: true, mark: MarkNegotiate, proves: x.r.Method != http.MethodOptions,
	}
	x.forward()
}

// toHolder forwards a request of a connection to the node that issued its token.
func (x *exchange) toHolder(upgrade bool) {
	name := membership.NodeID(x.g.opts.NodeOf(x.r))
	if name == "" {
		x.answerProblem(notFound, "the connection token names no node; negotiate again, and connect to the node that answers")
		return
	}
	x.class = class{within: x.g.opts.ResponseTimeout, limit: maxBody}
	if upgrade {
		x.class = class{kind: balance.Tunnel, proves: true}
	} else if x.r.Method == http.MethodGet { // server-sent events, or a long poll
		x.class = class{kind: balance.Stream, proves: true}
	}
	x.holder = name
	x.forward()
}

// acquireAtHolder acquires a slot at the only node that can answer.
func (x *exchange) acquireAtHolder() (slot, error) {
	if len(x.tried) > 0 {
		return slot{}, errNoNode
	}
	return x.g.dispatch.acquireAt(x.who, x.holder, x.kind)
}

// connectionToken returns the query parameter id. Its name is case-insensitive, as in ASP.NET.
func (x *exchange) connectionToken() string {
	for name, values := range x.r.URL.Query() {
		if strings.EqualFold(name, "id") && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
