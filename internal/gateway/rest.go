package gateway

import (
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// operatorTimeout bounds calls of the admin API, such as a scan of a large store.
const operatorTimeout = 10 * time.Minute

// forwardREST forwards a call of the REST API.
func (x *exchange) forwardREST() {
	x.class = x.classOf()
	if !x.g.opts.ForwardAdmin && isOperatorPath(x.r.URL.Path) {
		x.answerProblem(forbidden, "this gateway does not forward routes for operators; call a node directly, or start the gateway with --forward-admin")
		return
	}
	x.forward()
}

// isOperatorPath reports whether a path is for operators only, in any spelling.
func isOperatorPath(name string) bool {
	name = strings.ToLower(path.Clean("/" + name))
	for _, root := range []string{"/admin", "/metrics", "/debug"} {
		if rest, ok := strings.CutPrefix(name, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// classOf returns the class of a call by its method, path and headers. Only single calls, which are alike, are measured.
func (x *exchange) classOf() class {
	c := class{within: x.g.opts.ResponseTimeout, limit: maxBody, measured: true}
	c.safe = x.r.Method == http.MethodGet || x.r.Method == http.MethodHead || x.r.Method == http.MethodOptions
	switch path := x.r.URL.Path; {
	case path == "/v1/messages":
		x.route, c.keyed = path, x.hasKey()
	case path == "/v1/messages/batch":
		x.route = path
		c.keyed = x.hasKey()
		c.limit = maxBatchBody
		c.measured = false
	case path == "/v1/events":
		x.route = path
		c.kind = balance.Stream
		c.within = 0
		c.measured = false
	case strings.HasPrefix(path, "/v1/messages/"):
		x.route = "/v1/messages/…"
	case strings.HasPrefix(path, "/v1/"):
		x.route = "/v1/…"
	case strings.HasPrefix(path, "/admin/"):
		x.route = "/admin/…"
		c.within = operatorTimeout
		c.measured = false
	default:
		c.page = true
	}
	// A node answers these successfully only with a valid credential.
	c.proves = x.r.Method != http.MethodOptions &&
		(strings.HasPrefix(x.r.URL.Path, "/v1/") && !strings.HasPrefix(x.r.URL.Path, "/v1/mobile/") || x.route == "/admin/…")
	return c
}

// hasKey reports whether a call that sends messages has an idempotency key. Nodes ignore keys of other calls.
func (x *exchange) hasKey() bool {
	key := x.r.Header["Idempotency-Key"]
	return x.r.Method == http.MethodPost && len(key) == 1 && key[0] != ""
}
