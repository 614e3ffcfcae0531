package gateway

import (
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// hub forwards a request to a SignalR hub: negotiations to the node that has most room, and what belongs to a connection to
// the node that holds it.
func (x *exchange) hub(path string, negotiate bool) {
	x.route = path
	id := x.connectionToken()
	switch upgrade := headerHas(x.r.Header, "Connection", "upgrade"); {
	case negotiate:
		x.route = path + "/negotiate"
		x.negotiate()
	case upgrade && !x.g.opts.Tunnels:
		x.refuse(notSupported, "WebSockets do not run through this gateway: negotiate, and connect to the node that answers; or start it with --proxy-websockets")
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

// negotiate has the node with most room answer, with its own URL. It stores nothing, so it may be asked of another node.
func (x *exchange) negotiate() {
	x.class = class{
		kind: balance.Phone, within: x.g.opts.ResponseTimeout, limit: maxBody, safe: true, mark: MarkNegotiate, proves: x.r.Method != http.MethodOptions,
	}
	x.forward()
}

// toHolder forwards what belongs to a connection to the node that gave out its token.
func (x *exchange) toHolder(upgrade bool) {
	name := membership.NodeID(x.g.opts.NodeOf(x.r))
	if name == "" {
		x.refuse(notFound, "the connection token names no node; negotiate again, and connect to the node that answers")
		return
	}
	x.class = class{within: x.g.opts.ResponseTimeout, limit: maxBody}
	switch {
	case upgrade:
		x.class = class{kind: balance.Tunnel, proves: true}
	case x.r.Method == http.MethodGet: // server-sent events, or a long poll
		x.class = class{kind: balance.Stream, proves: true}
	}
	x.holder = name
	x.forward()
}

// seatAtHolder gives the seat at the one node that can answer.
func (x *exchange) seatAtHolder() (seat, error) {
	if len(x.tried) > 0 {
		return seat{}, errNobody
	}
	return x.g.dispatch.at(x.who, x.holder, x.kind)
}

// connectionToken is the query's id, matched whatever the case of its letters as ASP.NET does.
func (x *exchange) connectionToken() string {
	for name, values := range x.r.URL.Query() {
		if strings.EqualFold(name, "id") && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
