package gateway

import (
	"net/http"
	"runtime/debug"

	"github.com/esh3artech/esh3ar/internal/requestid"
)

// recoverRequest ends the request and its connection after a panic of its handler, so that input of one client or node cannot
// end the process.
func (g *Gateway) recoverRequest(r *http.Request) {
	switch reason := recover(); reason {
	case nil:
	case http.ErrAbortHandler: //nolint:errorlint // net/http compares it so
		panic(reason)
	default:
		g.panicked("request", reason, "method", r.Method, "path", r.URL.Path, "requestId", r.Header.Get(requestid.Header))
		panic(http.ErrAbortHandler)
	}
}

// contain recovers and logs a panic. Each goroutine that handles input of a client or node defers it.
func (g *Gateway) contain(part string) {
	if reason := recover(); reason != nil {
		g.panicked(part, reason)
	}
}

func (g *Gateway) panicked(part string, reason any, more ...any) {
	g.panics.Add(1)
	g.opts.Log.Error("a panic ended a connection; please report it",
		append([]any{"part", part, "panic", reason, "stack", string(debug.Stack())}, more...)...)
}
