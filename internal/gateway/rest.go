package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// longCall is what a call of an operator may take: a walk over a large store.
const longCall = 10 * time.Minute

// rest forwards a call of the REST API.
func (x *exchange) rest() {
	x.class = x.classOf()
	x.forward()
}

// classOf tells how to treat a call by its method, path and headers. Latency is taken from what is alike: single calls.
func (x *exchange) classOf() class {
	c := class{within: x.g.opts.AnswerWithin, limit: maxBody, measured: true}
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
	}
	return c
}

// hasKey tells whether a call that sends messages has an idempotency key. Nodes keep none of other calls.
func (x *exchange) hasKey() bool {
	key := x.r.Header["Idempotency-Key"]
	return x.r.Method == http.MethodPost && len(key) == 1 && key[0] != ""
}
