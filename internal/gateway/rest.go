package gateway

import (
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// longCall is what a call of an operator may take: a walk over a large store.
const longCall = 10 * time.Minute

// rest forwards a call of the REST API.
func (x *exchange) rest() {
	x.class = x.classOf()
	if !x.g.opts.ForwardAdmin && forOperators(x.r.URL.Path) {
		x.refuse(forbidden, "routes for operators are not reached through this gateway; ask a node, or start the gateway with --forward-admin")
		return
	}
	x.forward()
}

// forOperators reports whether a path is one of those that only the operator should reach, in whatever way it is written.
func forOperators(name string) bool {
	name = strings.ToLower(path.Clean("/" + name))
	for _, root := range []string{"/admin", "/metrics", "/debug"} {
		if rest, ok := strings.CutPrefix(name, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// classOf tells how to treat a call by its method, path and headers. Latency is taken from what is alike: single calls.
func (x *exchange) classOf() class {
	c := class{within: x.g.opts.ResponseTimeout, limit: maxBody, measured: true}
	c.safe = x.r.Method == http.MethodGet || x.r.Method == http.MethodHead || x.r.Method == http.MethodOptions
	switch path := x.r.URL.Path; {
	case path == "/v1/messages":
		x.route, c.keyed = path, x.hasKey()
	case path == "/v1/messages/batch":
		x.route, c.keyed, c.limit, c.measured = path, x.hasKey(), maxBatchBody, false
	case path == "/v1/events":
		x.route, c.kind, c.within, c.measured = path, balance.Stream, 0, false
	case strings.HasPrefix(path, "/v1/messages/"):
		x.route = "/v1/messages/…"
	case strings.HasPrefix(path, "/v1/"):
		x.route = "/v1/…"
	case strings.HasPrefix(path, "/admin/"):
		x.route, c.within, c.measured = "/admin/…", longCall, false
	default:
		c.page = true
	}
	// A node answers these well only to a good credential.
	c.proves = x.r.Method != http.MethodOptions &&
		(strings.HasPrefix(x.r.URL.Path, "/v1/") && !strings.HasPrefix(x.r.URL.Path, "/v1/mobile/") || x.route == "/admin/…")
	return c
}

// hasKey tells whether a call that sends messages has an idempotency key. Nodes keep none of other calls.
func (x *exchange) hasKey() bool {
	key := x.r.Header["Idempotency-Key"]
	return x.r.Method == http.MethodPost && len(key) == 1 && key[0] != ""
}
